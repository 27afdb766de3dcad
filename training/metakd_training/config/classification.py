"""Settings of classification runs: modalities by their kind, where they come from, the network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metakd_training.config.sections import Count, Fraction, Probability, RunConfig, Section, Side
from metakd_training.config.tables import CohortData, TableFile


class Image(Section):
    """A grey picture; its encoder is LeNet's, two convolutions with pooling.

    Attributes:
        files: pattern of the files, ``{name}`` stands for the sample; of a cohort only.
        size: rows and columns that pictures are resized to, pixels.
        channels: of the convolutions.
        shift: augmentation, largest shift along each axis, pixels.
        turn: augmentation, largest rotation, degrees.
        zoom: augmentation, largest change of scale, as a fraction.
    """

    kind: Literal["image"]
    files: str | None = None
    size: tuple[Side, Side] = (28, 28)
    channels: tuple[Side, ...] = (6, 16)
    shift: Annotated[float, Field(ge=0)] = 0.0
    turn: Annotated[float, Field(ge=0)] = 0.0
    zoom: Fraction = 0.0


class Spectrogram(Section):
    """A sound as mel-frequency cepstral coefficients; two convolutions with pooling.

    Attributes:
        files: pattern of the wav files, ``{name}`` stands for the sample; of a cohort only.
        rate: of the files, Hz; another one is an error.
        keep_every: every how many samples of the sound one is kept (3 as published, without a
            filter).
        coefficients: how many a frame has.
        frames: sounds are cut, or filled with zeros, to this length.
        channels: of the convolutions.
        shift: augmentation, largest shift in time, frames.
    """

    kind: Literal["spectrogram"]
    files: str | None = None
    rate: Side = 8000
    keep_every: Side = 1
    coefficients: Side = 20
    frames: Side = 20
    channels: tuple[Side, ...] = (6, 16)
    shift: Count = 0


class Volume(Section):
    """A 3D image; a convolution of stride 2 for each of the channels.

    Attributes:
        files: pattern of the files, ``{name}`` stands for the sample.
        size: slices, rows, columns that volumes are resampled to.
        scaled: to mean 0 and deviation 1 where they are not 0: each ``alone``, as scans need it,
            or ``together``, all by the training samples' mean and deviation, where their values
            mean something, as volumes of tissue do.
    """

    kind: Literal["volume"]
    files: str
    size: tuple[Side, Side, Side]
    scaled: Literal["alone", "together"] = "alone"
    channels: tuple[Side, ...] = (8, 16, 32, 64)


class Table(Section):
    """Numbers and categories of one or several tables, a row a sample; hidden layers.

    Attributes:
        tables: files, side by side.
        widths: of the hidden layers.
    """

    kind: Literal["table"]
    tables: Annotated[tuple[TableFile, ...], Field(min_length=1)]
    widths: tuple[Side, ...] = (64,)


Modality = Annotated[Image | Spectrogram | Volume | Table, Field(discriminator="kind")]


class AVMNIST(Section):
    """Audio-vision MNIST: spoken digits, each with a picture of the same digit.

    Attributes:
        folder: with MNIST's IDX files and the sounds in ``fsdd``.
        rare: the modality that only a part of the training pairs has.
        share: which part; 1 for all of them.
        held_out: the part of the training pairs that is held out.
        pairing: seed of which picture goes with which sound; not of the run, so that runs of
            several seeds are scored on the same pairs.
        cache: folder of the sounds' coefficients.
    """

    source: Literal["avmnist"]
    folder: str
    rare: Literal["image", "sound"] = "sound"
    share: Probability = 1.0
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    pairing: int = 1
    cache: str = "runs/cache"


class ClassifierSettings(Section):
    """Arguments of `metakd_training.classifier.ClassifierNet`.

    Attributes:
        features: length of every modality's feature vector.
        hidden: width of the classifier's hidden layer.
        dropout: of the hidden layer's units.
    """

    features: Side = 64
    hidden: Side = 64
    dropout: Fraction = 0.5


class ClassificationConfig(RunConfig):
    """A run that classifies.

    Attributes:
        modalities: by name, in the order of all results.
    """

    task: Literal["classification"]
    data: Annotated[AVMNIST | CohortData, Field(discriminator="source")]
    modalities: Annotated[dict[str, Modality], Field(min_length=1)]
    network: ClassifierSettings = ClassifierSettings()

    @property
    def of_the_network(self) -> tuple[str, ...]:
        """Beginnings of the settings that another run's network has to share to be of use here.

        Where the samples come from, too: lists of the same names may hold other samples.
        """
        return ("task", "network.", "modalities.", "data.source", "data.pairing", "data.subjects")

    @property
    def order(self) -> list[str]:
        """Names in whose order the network has its inputs and outputs."""
        classes = [] if isinstance(self.data, AVMNIST) else self.data.subjects.classes.values()
        return [*self.modalities, *classes]

    @model_validator(mode="after")
    def _kinds_fit(self) -> ClassificationConfig:
        """Audio-vision MNIST has a picture and a sound, a cohort says where its files are."""
        for name, modality in self.modalities.items():
            if isinstance(self.data, AVMNIST):
                kinds = {"image": Image, "sound": Spectrogram}
                if not isinstance(modality, kinds.get(name, ())):
                    raise ValueError(
                        f"modalities.{name}: avmnist has an image of kind image and a sound of "
                        "kind spectrogram"
                    )
            elif getattr(modality, "files", "a table") is None:
                raise ValueError(f"modalities.{name}: files is missing")
        return self
