"""The words that scanners, sites and data sets use in the names of their series.

To teach the module another habit, add a word here and a name to `test_assignment.py`. All words
are lower case without accents; what `series_names.py` makes of them stands there.
"""

from __future__ import annotations

from metakd.contrasts import Contrast


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Signs that would be lost when a text is cut into words. The text has a blank at either end.
SIGNS = {
    "t2*": " t2star ",
    "w/o": " without ",
    " c/s": " with without ",
    " w/": " with ",
    " s/": " without ",
    " c/": " with ",
    " c- ": " without c ",
    " -c ": " without c ",
    "m.d.c": " mdc ",
    "b-tfe": " btfe ",
    "b-ffe": " btfe ",
    "+": " plus ",
}
# Words that mean something only one after the other.
PAIRS = {
    "dark fluid": "flair",
    "t 1": "t1",
    "t 2": "t2",
    "mp rage": "mprage",
    "t2 star": "t2star",
    "t2 stern": "t2star",
    "t2 etoile": "t2star",
    "phase contrast": "mra",
    "time of": "tof",
    "screen save": "screenshot",
    "screen capture": "screenshot",
    "proton density": "pd",
    "densite protons": "pd",
    "3 plane": "localizer",
    "three plane": "localizer",
    "plan scan": "localizer",
    "key images": "screenshot",
    "ground truth": "seg",
    "spin labeling": "asl",
    "average dc": "adc",
    "mean diffusivity": "adc",
    "b 0": "dwi",
    "b 500": "dwi",
    "b 800": "dwi",
    "b 1000": "dwi",
}

NAMED = {
    Contrast.T1: _set("t1 t1w t1wi t1n t1c"),
    Contrast.T2: _set("t2 t2w t2wi"),
    Contrast.FLAIR: _set("flair flr t2f tirm"),
}
# Sequences that are nearly always run with this weighting.
USUAL = {
    Contrast.T1: _set(
        "mprage mprag mpr memprage mp2rage bravo spgr fspgr fsgpr irfspgr tfl tfl3d tfe vibe "
        "thrive lava ct1"
    ),
    Contrast.T2: _set("frfse haste ssfse fase"),
}
T1_WITH_AGENT = _set("t1c ct1")

AGENT = _set(
    "gd gad gado gadolinium gadolinio gadovist gadavist dotarem magnevist multihance prohance "
    "omniscan clariscan ce contrast contr contraste contrasto kontrast kontrastmittel km ks mdc "
    "civ injection injected injecte injektion inj enhanced enh"
)
AFTER = _set("post nach apres dopo despues tras pos after")  # enough on their own
BEFORE = _set(
    "pre vor avant prima antes nativ native nativa nativo nat basale plain unenhanced blanco t1n"
)
WITHOUT = _set("without wo no non ohne sans sin senza sem zonder")  # of the agent, or at the end
WITH = _set("with w mit avec con com")
BETWEEN = _set("iv i v de di do del of the m und and et y e")  # skipped on the way to the agent
# Followed by these, "post" and "pre" speak of something else.
NOT_OF_AGENT = _set(
    "op operative operativ operatoire surgery surgical fossa processing rt radiation "
    "radiotherapy chemo treatment therapy therapie tx biopsy resection"
)

# What a series is instead of one of the four contrasts.
OTHER = {
    "diffusion": _set(
        "dwi dti adc eadc fa trace tracew diff diffusion difusion diffusione hardi noddi ivim "
        "diffusionsgewichtet isodwi sdwi dadc tensor resolve dki b0 b50 b400 b500 b600 b700 b800 "
        "b900 b1000 b1200 b1400 b1500 b2000 b2500 b3000"
    ),
    "echo-planar imaging": _set("epi ep2d"),
    "T2* or susceptibility": _set(
        "t2star swi swan svi qsm venbold hemo heme fsbb swip pha medic merge"
    ),
    "angiography": _set(
        "mra mrv tof angio angiography angiographie angiografia venography venogram phlebo twist "
        "tricks"
    ),
    "perfusion": _set(
        "perf perfusion perfusione pwi dsc dce asl pasl pcasl cbv rcbv cbf rcbf mtt ttp tmax "
        "ktrans relcbv relcbf relmtt leakage"
    ),
    "functional MRI": _set("fmri bold rsfmri resting"),
    "spectroscopy": _set("mrs csi svs spectro spectroscopy spectroscopie"),
    "a localizer or calibration": _set(
        "localizer localiser localizador lokalizer loc scout aascout aahscout survey topogram "
        "scano smartbrain calibration cal refscan prescan shim fieldmap"
    ),
    "a projection": _set("mip minip projection"),
    "a subtraction": _set(
        "sub subtraction subtracted subtr subtract subtraktion soustraction sottrazione sustraccion"
    ),
    "a segmentation": _set(
        "seg segs segm segmentation segmentacion segmentazione segmentierung label labels "
        "labelmap mask masks roi rois aseg aparc gt ot groundtruth prediction pred prob "
        "probability"
    ),
    "a parametric map": _set("map maps mapping relaxometry ratio t1rho"),
    "proton density": _set("pd pdw dp protonendichte"),
    "STIR or double inversion": _set("stir dir psir"),
    "a steady-state sequence": _set("ciss fiesta trufi btfe"),
    "a screenshot or report": _set(
        "screenshot screenshots screen snapshot capture report summary dose"
    ),
    "CT": _set("ct cta ctp cct cbct"),
    "PET or SPECT": _set("pet fdg suv spect"),
    "of the spine": _set("spine cspine tspine lspine cervical lumbar hws bws lws rachis"),
}
GRADIENT_ECHO = _set("gre eg ffe fl2d fl3d flash")  # T2* unless T1 is said as well
T2_STAR = "T2* or susceptibility"

VOLUMETRIC = _set(
    "3d iso isotropic mprage mp2rage bravo fspgr tfl3d vibe thrive space cube vista brainview"
)
REFORMATTED = _set("reformat reformatted refmt rfmt rekonstruktion")

# What merely has to be known to cut words such as "axt1fs" and "t1postop" apart.
FILLERS = _set(
    "ax axi axial tra trans transverse transversal sag sagittal cor coronal obl 2d fs fse tse se "
    "sat fat fatsat spir spair dixon mdixon water brain head tumor tumour lesion dark fluid thin "
    "stealth star ir wip"
)
TOWARDS = _set("to in on onto into auf sur reg registered coreg coregistered aligned resampled")
