"""Every error the project raises on purpose.

SkinModelError
├── ImageError            an upload or file that cannot be used as a dermoscopic image
├── DatasetError          a data set, labels table or split that cannot be used as it is
├── ConfigurationError    a setting or option out of its range
├── TrainingError         a training that cannot go on
├── BundleError           a model on disk that is missing, damaged or not fit for this use
├── BusyError             a folder that another process is at work in
├── StoreError            the project's record, the queues or MLflow cannot be reached or read
├── JobError              a job that is not there, or not in a state for what was asked
└── StoppedError          work that its user has stopped

The message of each is a sentence for the person at the screen: what is wrong, and what to do next.
"""


class SkinModelError(Exception):
    """Base of all errors whose message may be shown to a user as it is."""


class ImageError(SkinModelError):
    """The given bytes cannot be used as a dermoscopic image."""


class DatasetError(SkinModelError):
    """A data set, labels table or split cannot be used as it is."""


class ConfigurationError(SkinModelError):
    """A setting or option is out of its range."""


class TrainingError(SkinModelError):
    """A training cannot start or go on."""


class BundleError(SkinModelError):
    """A model on disk is missing, damaged or not fit for this use."""


class BusyError(SkinModelError):
    """Another process is at work in the folder."""


class StoreError(SkinModelError):
    """The project's own record, the queues or MLflow cannot be reached or read."""


class JobError(SkinModelError):
    """There is no such job, or it is not in a state for what was asked."""


class StoppedError(SkinModelError):
    """The user has stopped the work."""
