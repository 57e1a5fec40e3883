"""What is known of each encoder before it is loaded: licence, size, files, what it is for.

`syntopy models list` prints this table. An encoder that needs none has no card.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WeightFile:
    """One file of a published model, by its path in the repository.

    Attributes:
        path: below the repository, and below the folder it is kept in.
        size: bytes as published, or 0 where that is not known.
        sha256: as published, or "" where that is not known.
        repo: where it is, if in another repository than the model's; of that its newest version.
    """

    path: str
    size: int = 0
    sha256: str = ""
    repo: str = ""


@dataclass(frozen=True)
class ModelCard:
    """An encoder as its authors publish it.

    Attributes:
        name: registry name.
        title: for people.
        repo, revision: where the weights are, and at which commit, tag or branch.
        files: what is needed of it.
        licence: of the weights, an SPDX identifier where there is one.
        commercial: whether the licence allows commercial use; if not, consent is asked for once.
        dim: length of a vector.
        inputs: ``image``, ``volume`` or both.
        modalities: DICOM modality codes it was made for; empty means any.
        body_parts: words of BodyPartExamined it was made for; empty means any.
        text, patches: whether its space also holds words; whether it tells regions apart.
        extra: of Syntopy, that has to be installed.
        tensors, bytes: of the weights as published, 0 where not known; a loaded file has to agree.
        source: paper.
    """

    name: str
    title: str
    repo: str
    revision: str
    files: tuple[WeightFile, ...]
    licence: str
    dim: int
    inputs: frozenset[str]
    commercial: bool = True
    modalities: frozenset[str] = frozenset()
    body_parts: frozenset[str] = frozenset()
    text: bool = False
    patches: bool = False
    extra: str = "encoders"
    tensors: int = 0
    source: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files, as far as they are known."""
        return sum(file.size for file in self.files)

    def address(self, file: WeightFile) -> str:
        """Where a file is, below the address of the hub."""
        if file.repo:
            return f"{file.repo}/resolve/main/{file.path}"
        return f"{self.repo}/resolve/{self.revision}/{file.path}"


_RADIOGRAPHS = frozenset({"CR", "DX"})
_CHEST = frozenset({"CHEST", "THORAX", "LUNG"})
_RAD_DINO_FILES = (
    WeightFile("config.json"),
    WeightFile("preprocessor_config.json"),
    WeightFile("model.safetensors", 346_345_912),
)

_ABDOMEN = frozenset({"ABD", "KIDNEY", "LIVER", "PANCREAS", "PELVIS", "SPLEEN"})
_LONGFORMER = "yikuan8/Clinical-Longformer"

CARDS: dict[str, ModelCard] = {
    card.name: card
    for card in (
        ModelCard(
            name="rad-dino",
            title="RAD-DINO, chest radiographs (ViT-B/14)",
            repo="microsoft/rad-dino",
            revision="main",
            files=_RAD_DINO_FILES,
            licence="MIT",
            dim=768,
            inputs=frozenset({"image"}),
            modalities=_RADIOGRAPHS,
            body_parts=_CHEST,
            patches=True,
            tensors=223,
            source="Pérez-García et al., Nature Machine Intelligence 2025, arXiv 2401.10815",
        ),
        ModelCard(
            name="rad-dino-maira-2",
            title="RAD-DINO of MAIRA-2, chest radiographs (ViT-B/14)",
            repo="microsoft/rad-dino-maira-2",
            revision="main",
            files=_RAD_DINO_FILES,
            licence="MSRLA",
            commercial=False,
            dim=768,
            inputs=frozenset({"image"}),
            modalities=_RADIOGRAPHS,
            body_parts=_CHEST,
            patches=True,
            tensors=223,
            source="Bannur et al. 2024, arXiv 2406.04449",
        ),
        ModelCard(
            name="medimageinsight",
            title="MedImageInsight, images and text of all modalities (DaViT)",
            repo="lion-ai/MedImageInsights",
            revision="main",
            files=(
                WeightFile(
                    "2024.09.27/vision_model/medimageinsigt-v1.0.0.pt",
                    2_464_060_700,
                    "5eeda63bf616a61664bc95b2c09d3b3d7125209e635678bd3f5f324e9bdb1414",
                ),
                WeightFile("2024.09.27/language_model/clip_tokenizer_4.16.2/vocab.json", 1_059_961),
                WeightFile("2024.09.27/language_model/clip_tokenizer_4.16.2/merges.txt", 524_619),
            ),
            licence="MIT",
            dim=1024,
            inputs=frozenset({"image", "volume"}),
            text=True,
            tensors=601,
            source="Codella et al. 2024, arXiv 2410.06542",
        ),
        ModelCard(
            name="ct-fm",
            title="CT-FM, computed tomography volumes (SegResNet encoder)",
            repo="project-lighter/ct_fm_feature_extractor",
            revision="main",
            files=(WeightFile("config.json", 123), WeightFile("model.safetensors", 311_116_176)),
            licence="Apache-2.0",
            dim=512,
            inputs=frozenset({"volume"}),
            modalities=frozenset({"CT"}),
            tensors=161,
            source="Pai et al. 2025, arXiv 2501.09001",
        ),
        ModelCard(
            name="m3d-clip",
            title="M3D-CLIP, computed tomography volumes and text (3-D ViT-B)",
            repo="GoodBaiBai88/M3D-CLIP",
            revision="main",
            files=(
                WeightFile("config.json"),
                WeightFile("vocab.txt"),
                WeightFile("model.safetensors"),
            ),
            licence="Apache-2.0",
            dim=768,
            inputs=frozenset({"volume"}),
            modalities=frozenset({"CT"}),
            text=True,
            tensors=342,
            source="Bai et al. 2024, arXiv 2404.00578",
        ),
        ModelCard(
            name="merlin",
            title="Merlin, abdominal computed tomography and text (inflated ResNet-152)",
            repo="stanfordmimi/Merlin",
            revision="main",
            files=(
                WeightFile(
                    "i3_resnet_clinical_longformer_best_clip_04-02-2024_23-21-36_epoch_99.pt"
                ),
                WeightFile("config.json", repo=_LONGFORMER),
                WeightFile("vocab.json", repo=_LONGFORMER),
                WeightFile("merges.txt", repo=_LONGFORMER),
            ),
            licence="MIT",
            dim=512,
            inputs=frozenset({"volume"}),
            modalities=frozenset({"CT"}),
            body_parts=_ABDOMEN,
            text=True,
            tensors=1208,
            source="Blankemeier et al., Nature 2026, arXiv 2406.06512",
        ),
        ModelCard(
            name="flair",
            title="FLAIR, colour photographs of the fundus and text (ResNet-50)",
            repo="jusiro2/FLAIR",
            revision="main",
            files=(
                WeightFile(
                    "model.safetensors",
                    sha256="050334cd934fa3126435c202c41f493ca222fc3fe3ea9c50cf21f67c792a1440",
                ),
                WeightFile("vocab.txt", repo="emilyalsentzer/Bio_ClinicalBERT"),
            ),
            licence="Apache-2.0",
            dim=512,
            inputs=frozenset({"image"}),
            modalities=frozenset({"OP"}),
            text=True,
            tensors=520,
            source="Silva-Rodríguez et al., Medical Image Analysis 2025, arXiv 2308.07898",
        ),
    )
}
