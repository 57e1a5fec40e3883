"""What is known of each encoder before it is loaded: licence, size, files, what it is for.

`syntopy models list` prints this table. An encoder that needs none has no card.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WeightFile:
    """One file of a published model.

    Attributes:
        path: below the folder it is kept in, and below the repository.
        size: bytes as published, or 0 where that is not known.
        sha256: as published, or "" where that is not known.
        elsewhere: ``OWNER/NAME/resolve/REVISION/PATH`` of a file of another repository.
    """

    path: str
    size: int = 0
    sha256: str = ""
    elsewhere: str = ""


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
        vision: whether it is built of transformers' vision classes, or of timm's.
        tensors: of the weights as published, 0 where not known.
        about: bytes of all files, as the hub rounds them or as such a network has them, where the
            exact number is not known.
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
    vision: bool = True
    tensors: int = 0
    about: int = 0
    source: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files, as far as they are known."""
        return self.about or sum(file.size for file in self.files)

    def address(self, file: WeightFile) -> str:
        """Where a file is, below the address of the hub."""
        return file.elsewhere or f"{self.repo}/resolve/{self.revision}/{file.path}"


_RADIOGRAPHS = frozenset({"CR", "DX"})
_CHEST = frozenset({"CHEST", "THORAX", "LUNG"})
_RAD_DINO_FILES = (
    WeightFile("config.json"),
    WeightFile("preprocessor_config.json"),
    WeightFile("model.safetensors", 346_345_912),
)
_BIOMEDBERT = (
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract/resolve/"
    "d673b8835373c6fa116d6d8006b33d48734e305d"
)
"""A text tower's sizes and words, where the weights of the tower are in the model's own file."""
_QUILTNET_FILES = (
    WeightFile("open_clip_config.json", 469),
    WeightFile("open_clip_pytorch_model.bin"),
)
_QUILT = "Ikezogwo et al., NeurIPS 2023, arXiv 2306.11207"

_ABDOMEN = frozenset({"ABD", "KIDNEY", "LIVER", "PANCREAS", "PELVIS", "SPLEEN"})
_LONGFORMER = "yikuan8/Clinical-Longformer/resolve/main"
_CLINICALBERT = "emilyalsentzer/Bio_ClinicalBERT/resolve/main"

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
            patches=True,
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
            vision=False,
            tensors=161,
            source="Pai et al. 2025, arXiv 2501.09001",
        ),
        ModelCard(
            name="biomedclip",
            title="BiomedCLIP, images and text of biomedical papers (ViT-B/16)",
            repo="microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
            revision="9f341de24bfb00180f1b847274256e9b65a3a32e",
            files=(
                WeightFile("open_clip_config.json", 707),
                WeightFile("open_clip_pytorch_model.bin"),
                WeightFile("special_tokens_map.json", 125),
                WeightFile("tokenizer.json"),
                WeightFile("tokenizer_config.json", 394),
                WeightFile("vocab.txt"),
                WeightFile("text/config.json", elsewhere=f"{_BIOMEDBERT}/config.json"),
            ),
            licence="MIT",
            dim=512,
            inputs=frozenset({"image", "volume"}),
            text=True,
            patches=True,
            extra="open-clip",
            about=784_000_000,
            source="Zhang et al., NEJM AI 2024, arXiv 2303.00915",
        ),
        ModelCard(
            name="quiltnet-b-32",
            title="QuiltNet, histopathology and text (ViT-B/32)",
            repo="wisdomik/QuiltNet-B-32",
            revision="main",
            files=_QUILTNET_FILES,
            licence="MIT",
            dim=512,
            inputs=frozenset({"image", "volume"}),
            modalities=frozenset({"SM"}),
            text=True,
            patches=True,
            extra="open-clip",
            about=605_000_000,
            source=_QUILT,
        ),
        ModelCard(
            name="quiltnet-b-16",
            title="QuiltNet, histopathology and text (ViT-B/16)",
            repo="wisdomik/QuiltNet-B-16",
            revision="fffebfd558bb2e8dcb9a6aea22caaf981115cdcd",
            files=_QUILTNET_FILES,
            licence="MIT",
            dim=512,
            inputs=frozenset({"image", "volume"}),
            modalities=frozenset({"SM"}),
            text=True,
            patches=True,
            extra="open-clip",
            about=599_000_000,
            source=_QUILT,
        ),
        ModelCard(
            name="unimed-clip-b-16",
            title="UniMed-CLIP, images and text of six modalities (ViT-B/16)",
            repo="UzairK/unimed-clip-vit-b16",
            revision="84a67cb0331b511b630136e4878beaa5a3fdc657",
            files=(
                WeightFile("unimed-clip-vit-b16.pt"),
                WeightFile("text/config.json", elsewhere=f"{_BIOMEDBERT}/config.json"),
                WeightFile(
                    "text/tokenizer_config.json", elsewhere=f"{_BIOMEDBERT}/tokenizer_config.json"
                ),
                WeightFile("text/vocab.txt", elsewhere=f"{_BIOMEDBERT}/vocab.txt"),
            ),
            licence="CC-BY-NC-4.0",
            commercial=False,
            dim=512,
            inputs=frozenset({"image", "volume"}),
            modalities=frozenset({"CR", "CT", "DX", "MR", "OP", "SM", "US"}),
            text=True,
            patches=True,
            extra="open-clip",
            source="Khattak et al. 2024, arXiv 2412.10372",
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
            about=792_000_000,
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
                WeightFile("config.json", elsewhere=f"{_LONGFORMER}/config.json"),
                WeightFile("vocab.json", elsewhere=f"{_LONGFORMER}/vocab.json"),
                WeightFile("merges.txt", elsewhere=f"{_LONGFORMER}/merges.txt"),
            ),
            licence="MIT",
            dim=512,
            inputs=frozenset({"volume"}),
            modalities=frozenset({"CT"}),
            body_parts=_ABDOMEN,
            text=True,
            tensors=1208,
            about=1_085_000_000,
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
                WeightFile("vocab.txt", elsewhere=f"{_CLINICALBERT}/vocab.txt"),
            ),
            licence="Apache-2.0",
            dim=512,
            inputs=frozenset({"image"}),
            modalities=frozenset({"OP"}),
            text=True,
            tensors=520,
            about=533_000_000,
            source="Silva-Rodríguez et al., Medical Image Analysis 2025, arXiv 2308.07898",
        ),
    )
}
