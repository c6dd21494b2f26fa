"""Write the text and table sets as CSV files with headers, ready for `longtail train FILE`.

    python benchmarks/write_csv.py --data-root ../shared/data --output local-data

Writes r8.csv and goemotions.csv (text, label, split) and nslkdd.csv and shuttle.csv (features,
label, split). Nothing is downloaded; what the folder lacks is named.
"""

from __future__ import annotations

import argparse
import csv
import lzma
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_KDD = (
    "duration protocol_type service flag src_bytes dst_bytes land wrong_fragment urgent hot "
    "num_failed_logins logged_in num_compromised root_shell su_attempted num_root "
    "num_file_creations num_shells num_access_files num_outbound_cmds is_host_login "
    "is_guest_login count srv_count serror_rate srv_serror_rate rerror_rate srv_rerror_rate "
    "same_srv_rate diff_srv_rate srv_diff_host_rate dst_host_count dst_host_srv_count "
    "dst_host_same_srv_rate dst_host_diff_srv_rate dst_host_same_src_port_rate "
    "dst_host_srv_diff_host_rate dst_host_serror_rate dst_host_srv_serror_rate "
    "dst_host_rerror_rate dst_host_srv_rerror_rate"
)
KDD_COLUMNS = _KDD.split()
Row = list[str]


def lines(path: Path) -> Iterator[str]:
    """Lines of an `.xz` text file."""
    with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
        for line in file:
            yield line.rstrip("\r\n")


def r8(root: Path) -> tuple[Row, Iterable[Row], str]:
    """Reuters R8: `label<TAB>text` lines."""
    rows = []
    for split in ("train", "test"):
        for line in lines(root / "text_r8" / f"{split}.txt.xz"):
            label, text = line.split("\t", 1)
            rows.append([text.strip(), label, split])
    return ["text", "label", "split"], rows, ""


def goemotions(root: Path) -> tuple[Row, Iterable[Row], str]:
    """GoEmotions: rows with exactly one label, named by `labels.txt`."""
    folder = root / "text_goemotions"
    names = (folder / "labels.txt").read_text(encoding="utf-8").split()
    rows, dropped = [], 0
    for split, stem in (("train", "train"), ("validation", "dev"), ("test", "test")):
        reader = csv.reader(
            lines(folder / f"{stem}.tsv.xz"), delimiter="\t", quoting=csv.QUOTE_NONE
        )
        next(reader)
        for text, label, *_ in reader:
            if "," in label:
                dropped += 1
            else:
                rows.append([text, names[int(label)], split])
    return ["text", "label", "split"], rows, f"{dropped} rows with several labels left out"


def nslkdd(root: Path) -> tuple[Row, Iterable[Row], str]:
    """NSL-KDD: 41 features and the attack name; the difficulty column is no feature."""
    folder = root / "tabular"
    train = list(csv.reader(lines(folder / "nslkdd_train_20percent.csv.xz")))
    test = list(csv.reader(lines(folder / "nslkdd_test.csv.xz")))
    known = {row[41] for row in train}
    kept = [row for row in test if row[41] in known]
    names = len({row[41] for row in test} - known)
    rows = [
        [*row[:42], split] for split, part in (("train", train), ("test", kept)) for row in part
    ]
    said = f"{len(test) - len(kept)} test rows of {names} names unseen in training left out"
    return [*KDD_COLUMNS, "label", "split"], rows, said


def shuttle(root: Path) -> tuple[Row, Iterable[Row], str]:
    """Statlog Shuttle: 9 numeric features, labels 1 to 7."""
    header: Row = []
    rows = []
    for split in ("train", "test"):
        reader = csv.reader(lines(root / "tabular" / f"shuttle_{split}.csv.xz"))
        header = next(reader)
        rows += [[*row, split] for row in reader]
    return [*header, "split"], rows, ""


SETS = {"r8": r8, "goemotions": goemotions, "nslkdd": nslkdd, "shuttle": shuttle}


def write(root: Path, output: Path, names: Iterable[str] = tuple(SETS)) -> list[Path]:
    """Write the sets named; returns the files."""
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for name in names:
        header, rows, said = SETS[name](root)
        path = output / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            count = 0
            for row in rows:
                writer.writerow(row)
                count += 1
        print(f"{path}: {count} rows{f'; {said}' if said else ''}")
        written.append(path)
    return written


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data-root", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("sets", nargs="*", default=list(SETS), metavar="SET", help=", ".join(SETS))
    given = parser.parse_args()
    unknown = [s for s in given.sets if s not in SETS]
    if unknown:
        parser.error(f"there is no set {unknown[0]!r}; choose from {', '.join(SETS)}")
    try:
        write(given.data_root, given.output, given.sets)
    except FileNotFoundError as error:
        print(
            f"there is no file {error.filename}\ngive --data-root the folder that holds it",
            file=sys.stderr,
        )
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
