"""Resident memory of a worker after ten trainings over that after one.

python -m benchmarks.worker_memory
"""

from pathlib import Path

from benchmarks import installation
from benchmarks.measuring import Comparison, arguments, parsed, report
from skin_model.jobs import keeper


def resident(pid: int) -> float:
    """Resident MiB of a process (Linux)."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024


def main() -> None:
    parser = arguments("Memory of a worker after ten trainings.", rounds=10)
    args = parsed(parser)
    after: list[float] = []
    with installation.installation(16) as data:
        for seed in range(args.rounds):
            installation.ended(installation.start(data, installation.small(epochs=2, seed=seed)))
            after.append(resident(keeper._begun[0].pid))
            print(f"after {seed + 1}: {after[-1]:.0f} MiB", flush=True)
    # the largest, not the last: a worker that has grown begins anew
    row = Comparison(f"a worker at most, of {args.rounds} trainings, over after one", max(after), after[0], "MiB",
                     max(after) / after[0], "at most 1.2")  # fmt: skip
    report(args, [row], {"after each": ", ".join(f"{mib:.0f}" for mib in after)})


if __name__ == "__main__":
    main()
