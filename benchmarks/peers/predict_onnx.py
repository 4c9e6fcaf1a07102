"""ResNet-18 on a folder of JPEGs: ONNX Runtime in float32, no torch at all. FOLDER MODEL.

Threads decode the next batch while the runtime answers this one: its best known setting on the processor.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def prepared(file: Path) -> np.ndarray:
    """Shorter side to 256, centre crop 224, normalised: (3, 224, 224)."""
    picture = Image.open(file).convert("RGB")
    factor = 256 / min(picture.size)
    picture = picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.BILINEAR)
    left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
    pixels = np.asarray(picture.crop((left, top, left + 224, top + 224)), dtype=np.float32) / 255
    return ((pixels - MEAN) / STD).transpose(2, 0, 1)


def main(folder: str, model: str) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    files = sorted(Path(folder).glob("*.jpg"))
    batches = [files[start : start + 32] for start in range(0, len(files), 32)]
    answers: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        ahead = pool.map(prepared, batches[0])
        for following in [*batches[1:], []]:
            pictures = np.stack(list(ahead))
            ahead = pool.map(prepared, following)
            answers += session.run(None, {name: pictures})[0].argmax(1).tolist()
    print(json.dumps({"pictures": len(answers)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
