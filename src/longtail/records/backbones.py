"""Records of kind `backbones`; `details` carry the optimiser the engine uses by default."""

from longtail.registry import Record, register

__all__: list[str] = []

_SGD = {"optimizer": "sgd", "lr": "0.1", "weight_decay": "2e-4"}
_ADAMW = {"optimizer": "adamw", "lr": "1e-3", "weight_decay": "1e-2"}

register(
    Record(
        "small_cnn",
        "backbone",
        "four convolution blocks for small images (8 to 64 pixels), D = 128",
        "longtail.models.backbones:SmallCNN",
        family="convolution",
        modalities=("image",),
        case={"input_shape": (1, 8, 8)},
        details={**_ADAMW, "lr": "5e-3", "epochs": "15"},
    ),
    Record(
        "mlp",
        "backbone",
        "two dense layers with LayerNorm for tables, D = 128",
        "longtail.models.backbones:MLP",
        family="dense",
        modalities=("table",),
        case={"input_shape": (5,)},
        details={**_ADAMW, "epochs": "30"},
    ),
    Record(
        "hashed_text",
        "backbone",
        "mean of hashed word n-gram embeddings and a dense layer, D = 128",
        "longtail.models.backbones:HashedText",
        family="text",
        modalities=("text",),
        case={"input_shape": (6,), "buckets": 50},
        details={**_ADAMW, "lr": "5e-3", "epochs": "15"},
    ),
    Record(
        "resnet32",
        "backbone",
        "ResNet-32 of the CIFAR papers (16/32/64, option A shortcuts), D = 64",
        "longtail.models.resnet:ResNet32",
        family="residual",
        reference="He et al., CVPR 2016",
        modalities=("image",),
        case={"input_shape": (3, 16, 16)},
        details=_SGD,
    ),
    Record(
        "resnet18",
        "backbone",
        "ResNet-18, D = 512; a 3x3 stem for images of at most 64 pixels",
        "longtail.models.resnet:ResNet18",
        family="residual",
        reference="He et al., CVPR 2016",
        modalities=("image",),
        case={"input_shape": (3, 16, 16)},
        details=_SGD,
    ),
    Record(
        "resnet50",
        "backbone",
        "ResNet-50, D = 2048; a 3x3 stem for images of at most 64 pixels",
        "longtail.models.resnet:ResNet50",
        family="residual",
        reference="He et al., CVPR 2016",
        modalities=("image",),
        case={"input_shape": (3, 16, 16)},
        tags=("large",),
        details=_SGD,
    ),
    Record(
        "resnet152",
        "backbone",
        "ResNet-152, D = 2048; a 3x3 stem for images of at most 64 pixels",
        "longtail.models.resnet:ResNet152",
        family="residual",
        reference="He et al., CVPR 2016",
        modalities=("image",),
        case={"input_shape": (3, 16, 16)},
        tags=("large",),
        details=_SGD,
    ),
    Record(
        "timm",
        "backbone",
        "a model of the package timm, asked for as timm:NAME (extra timm; no cuts)",
        "longtail.models.foreign:TimmBackbone",
        family="foreign",
        modalities=("image",),
        case={"input_shape": (3, 32, 32), "model": "resnet10t"},
        tags=("extra",),
        details=_SGD,
    ),
)
