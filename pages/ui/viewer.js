// A picture to zoom and move in.  The view stays while the picture under it changes (another map, another strength)
// and starts afresh with a new `data.subject`.  Wheel, drag, pinch, double click, buttons and keys do the same things.
const MOST = 12;

export default function (component) {
  const { data, parentElement } = component;
  const viewer = parentElement.querySelector(".viewer");
  if (!viewer.control) viewer.control = attach(viewer);
  show(viewer, data);
}

function show(viewer, data) {
  const [left, top, side] = data.box;
  const percent = (value, whole) => `${(100 * value) / whole}%`;
  const image = viewer.querySelector("img");
  image.src = data.source;
  image.alt = data.alt;
  viewer.style.setProperty("--ratio", data.width / data.height);
  const frame = viewer.querySelector(".frame");
  frame.hidden = side === data.width && side === data.height;
  frame.style.left = percent(left, data.width);
  frame.style.top = percent(top, data.height);
  frame.style.width = percent(side, data.width);
  frame.style.height = percent(side, data.height);
  if (viewer.dataset.subject !== data.subject) {
    viewer.dataset.subject = data.subject;
    viewer.control.reset();
  }
}

function attach(viewer) {
  const stage = viewer.querySelector(".stage");
  const moving = viewer.querySelector(".moving");
  const pointers = new Map();
  let scale = 1, x = 0, y = 0; // a point p of the picture lies at scale * p + (x, y), in pixels of the stage

  function draw() {
    x = Math.min(0, Math.max(stage.clientWidth * (1 - scale), x));
    y = Math.min(0, Math.max(stage.clientHeight * (1 - scale), y));
    moving.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    viewer.style.setProperty("--scale", scale);
    viewer.classList.toggle("zoomed", scale > 1);
  }
  function zoom(factor, px = stage.clientWidth / 2, py = stage.clientHeight / 2) {
    const next = Math.min(MOST, Math.max(1, scale * factor));
    x = px - ((px - x) * next) / scale;
    y = py - ((py - y) * next) / scale;
    scale = next;
    draw();
  }
  function move(dx, dy) { x += dx; y += dy; draw(); }
  function reset() { scale = 1; x = 0; y = 0; draw(); }
  function at(event) {
    const edge = stage.getBoundingClientRect();
    return [event.clientX - edge.left, event.clientY - edge.top];
  }

  stage.addEventListener("wheel", (event) => {
    if (scale === 1 && event.deltaY > 0) return; // nothing to zoom out of: the page scrolls on
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...at(event));
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => (scale > 1 ? reset() : zoom(3, ...at(event))));
  stage.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, at(event));
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, now);
    if (other) {
      const gap = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      zoom(gap(now) / gap(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else {
      move(now[0] - before[0], now[1] - before[1]);
    }
  });
  for (const end of ["pointerup", "pointercancel"])
    stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  const keys = {
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "0": reset,
    ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0),
    ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
  };
  stage.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey) return;
    if (event.key.startsWith("Arrow") && scale === 1) return; // the page scrolls on
    event.preventDefault();
    keys[event.key]();
  });
  viewer.querySelector(".in").addEventListener("click", () => zoom(1.5));
  viewer.querySelector(".out").addEventListener("click", () => zoom(1 / 1.5));
  viewer.querySelector(".whole").addEventListener("click", reset);
  new ResizeObserver(draw).observe(stage);
  return { reset };
}
