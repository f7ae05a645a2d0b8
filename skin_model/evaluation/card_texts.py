"""The standing sentences of a model card; no figure stands here, they come from the evaluation."""

SEVEN_CLASSES = "gives probabilities of seven diagnoses"
BINARY = "gives a probability of malignancy"
NOT_SEVEN = "Not defined: this model only tells malignant from benign."

INTENDED = """\
This model {answer} for one dermoscopic image of one pigmented skin lesion, for research
and education, beside the judgement of a clinician who knows dermoscopy.

It is assistive only: it is not a diagnosis, and it is not cleared as a medical device. It is not meant for
deciding alone whether a lesion is removed or left, for screening without a clinician, for patients judging
themselves, or for images other than dermoscopy."""

PROTOCOL = """\
All images that the data set lists under one lesion lie in the same part of the split; where it lists one lesion under
two names, they may lie in two. Nothing was fitted on the test part: no weight, no temperature, no limit; nor was the
best epoch chosen there. Whether its figures were in view when this model was preferred to another, only its makers can
say. {fitted} The figures are of the answers that the app gives, where it takes the patient with what is known of age,
sex and site, and those included that its check of pictures would withhold."""

NOTE = "Its makers say: {note}"

CALIBRATION_PART = """\
The temperature, the operating points and the prediction sets, where it has them, were fitted on the calibration part,
with which no weight was trained."""

OUT_OF_FOLD = """\
The temperature was fitted on the calibration part, with which no weight was trained, and then multiplied by a
correction. It comes from the networks of a cross-validation, whose temperatures were fitted on that part too: it is the
factor by which they were too certain on the folds that they had not learned from. The operating points and the
prediction sets were fitted on the calibration part and on those networks' answers for these folds. Each of these
networks kept {kept}, and none is this model: the figures below say whether the limits hold for it."""

BEST_OF_FOLD = "the epoch that was best on its fold"
LAST_OF_FOLD = "its last epoch"

VIEWS_AGAIN = """\
Some of these trainings went on from another one's network under an earlier version of this program, which showed them
the augmented views of the one before again. Run now, the commands make a similar model with other figures."""

LAST_EPOCH = "none: the last epoch was kept"

ALL_FOLDS = """\
The last training learned from all folds, so none was left to measure it on the way, and its last epoch was kept.
Where it was compared with other trainings of that kind, it was on the calibration part, so that what was fitted there
is flattered a little; nothing was fitted on the images of the figures below."""

LIMITS = (
    "Photographs that are not dermoscopic were not in the data; the app withholds its answer to most of them, not all.",
    "A lesion outside the seven classes it learned is judged as if it were one of them.",
    "akiec, bkl and vasc are umbrella terms for several diagnoses; the model does not tell these apart.",
    "The figures say nothing of other clinics, cameras and populations, where such models usually do worse.",
    "A malignant lesion may stay below the operating point, as often as the sensitivity falls short of all.",
)

HAM10000_LIMITS = (
    "Dermatofibromas (df) and vascular lesions (vasc) are few in HAM10000, so little was learned of them.",
    "The images come from two centres (Vienna and Queensland), mostly from patients with lighter skin; there "
    "is no figure for darker skin.",
    "Malignant lesions were confirmed by histology, many naevi by follow-up or consensus, so benign and "
    "malignant images differ in more than the diagnosis.",
    "Specialists selected the lesions; the share of malignant ones is not that of a practice, so precision "
    "and calibration do not carry over to another share.",
)

HAM10000_LICENCE = """\
The weights were learned from the images of HAM10000 (Tschandl, Rosendahl and Kittler, Scientific Data 2018,
doi:10.7910/DVN/DBW86T), which are under CC BY-NC 4.0: use the weights for non-commercial purposes only and
name the source. The code is under Apache-2.0."""

OTHER_LICENCE = """\
The weights inherit the conditions of the images they were learned from; the licence of these images is not
recorded. The code is under Apache-2.0."""
