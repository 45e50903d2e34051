"""Take published figures into the gallery: python docs/take_records.py [results/gallery].

Of every figure in the folder, as `figures/all.py` leaves it, the record is copied and the picture made smaller.
"""

import shutil
import sys
from pathlib import Path

from PIL import Image

GALLERY = Path(__file__).parent / "gallery"
WIDTH, COLORS = 1_500, 256


def main(folder: Path) -> None:
    """Copy what is there; figures that are not there keep what the gallery has."""
    records = sorted(folder.glob("*.json"))
    if not records:
        sys.exit(f"take_records: {folder} holds no published figure.")
    for record in records:
        shutil.copyfile(record, GALLERY / record.name)
        picture = Image.open(record.with_suffix(".png")).convert("RGB")
        if picture.width > WIDTH:
            picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
        small = picture.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small.save(GALLERY / f"{record.stem}.png", optimize=True)
        if (animation := record.with_suffix(".gif")).exists():
            shutil.copyfile(animation, GALLERY / animation.name)
    print(f"{len(records)} figures taken into {GALLERY}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/gallery"))
