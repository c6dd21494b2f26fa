"""Records of kind `datasets`: the built-in sets, each read from local files."""

from longtail.registry import Record, register

__all__: list[str] = []

_CUI = "Cui et al., CVPR 2019; Cao et al., NeurIPS 2019"


def _set(name: str, summary: str, target: str, reference: str, files: str, **more: str) -> Record:
    return Record(
        name=name,
        kind="datasets",
        summary=summary,
        target=f"longtail.data.{target}",
        family="built-in" if not files else "local files",
        reference=reference,
        modalities=("image",),
        needs=("files",) if files else (),
        aliases=(name.replace("-", "_"),),
        details={"files": files, **more} if files else more,
    )


register(
    _set(
        "digits-lt",
        "handwritten digits, 8 x 8 grey, 10 classes, IF 50; comes with scikit-learn",
        "benchmarks:digits_lt",
        "Alpaydin and Kaynak, UCI 1998",
        "",
        counts="120 77 50 32 21 13 8 5 3 2; test 50 a class",
    ),
    _set(
        "fashion-mnist-lt",
        "clothing, 28 x 28 grey, 10 classes, IF 100",
        "benchmarks:fashion_mnist_lt",
        "Xiao et al., 2017; " + _CUI,
        "fashion_mnist_lt_if100_train.npz and fashion_mnist_test.npz, or the four idx-ubyte files",
    ),
    _set(
        "cifar10-lt",
        "photographs, 32 x 32, 10 classes, IF 100",
        "benchmarks:cifar10_lt",
        "Krizhevsky, 2009; " + _CUI,
        "cifar10_lt_if100_train.npz and cifar10_test.npz (IF 50: cifar10_lt_if50_extra_train.npz), "
        "or the folder cifar-10-batches-py or cifar-10-batches-bin",
    ),
    _set(
        "cifar100-lt",
        "photographs, 32 x 32, 100 classes, IF 100",
        "benchmarks:cifar100_lt",
        "Krizhevsky, 2009; " + _CUI,
        "cifar100_lt_if100_train.npz and cifar100_test.npz (IF 50: cifar100_lt_if50_extra_train"
        ".npz), or the folder cifar-100-python or cifar-100-binary",
    ),
    _set(
        "imagenet-lt",
        "ImageNet-LT: 115,846 photographs, 1,000 classes, 5 to 1,280 a class",
        "lists:imagenet_lt",
        "Liu et al., CVPR 2019",
        "ImageNet_LT_train.txt, ImageNet_LT_val.txt, ImageNet_LT_test.txt and the images",
    ),
    _set(
        "places-lt",
        "Places-LT: 62,500 photographs, 365 classes, 5 to 4,980 a class",
        "lists:places_lt",
        "Liu et al., CVPR 2019",
        "Places_LT_train.txt, Places_LT_val.txt, Places_LT_test.txt and the images",
    ),
    _set(
        "inaturalist18",
        "iNaturalist 2018: 437,513 photographs, 8,142 species, 2 to 1,000 a class",
        "lists:inaturalist18",
        "Van Horn et al., CVPR 2018",
        "iNaturalist18_train.txt and iNaturalist18_val.txt (or train2018.json and val2018.json) "
        "and the images",
    ),
)
