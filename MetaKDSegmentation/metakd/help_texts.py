"""What `metakd COMMAND --help` says before the options."""

SEGMENT = """\
Segment one patient from the contrasts there are; the features of the others are generated.

  metakd segment --t1c t1c.nii.gz --flair flair.nii.gz --output seg.nii.gz

Inputs: NIfTI, NRRD, MetaImage or a DICOM series (its folder or any of its files), as scanned:
contrasts that do not lie on each other are registered, the brain is found where there is a skull.
The result lies on the grid of the T1c (else FLAIR, T2, T1) image, in the patient's own space.
"""

PREPROCESS = """\
Register the contrasts of one patient and extract the brain, for use with other programs.

  metakd preprocess --t1 t1.nii.gz --t1c t1c.nii.gz --flair flair.nii.gz --output prepared

Writes t1, t1c, t2, flair (those given) and brain_mask as .nii.gz, and report.json. The images keep
their own intensities, interpolated once (linear); outside the brain they are 0. They lie on the
reference's grid or, with --grid sri24, on one as BraTS has it: 240 x 240 x 155 voxels of 1 mm along
the patient's axes, the brain's centre where BraTS's brains have theirs. That is the style of the
SRI24 atlas, not a registration to it; report.json has the matrix back to the scanner's space.
"""

EVALUATE = """\
Score a model on patients with known truth, for each subset of their contrasts.

  metakd evaluate --cases BraTS2018 --output results --subsets all

COHORT is a folder with one for each patient, with files named by contrast (t1, t1ce, t2, flair,
t1n, t1c, t2w, t2f) and a file ending in seg; or a .json or .csv list with columns name, t1, t1c,
t2, flair, segmentation, labels. The images are taken as they are: registered, and without skull, as
BraTS has them (metakd preprocess makes them so). Dice, HD95 and both lesion-wise, as BraTS 2023 has
them. Writes scores.csv and summary.json, prints the table.
"""

WORKER = """\
Serve another program, as 3D Slicer's module does: requests on stdin, events on stdout, each one
JSON object a line. It ends when stdin closes.

  {"op":"segment","id":"1","inputs":{"t1c":"/in/t1c.nrrd"},"output":"/out/seg.nrrd","options":{}}

Options: device, reference, model, labels, probabilities, registration, brain, brain_mask,
bias_correction, prepared, as those of metakd segment. Other requests: import, phantom, compare,
cancel, shutdown; metakd/worker_requests.py has their fields.
The model and the last study stay in memory between requests.
"""
