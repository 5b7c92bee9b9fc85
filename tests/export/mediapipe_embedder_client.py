"""Let MediaPipe's ImageEmbedder answer: run as a program, because it can hang after an error.

Usage: python mediapipe_embedder_client.py IMAGES.npy ANSWERS.npz MODEL.tflite...
"""

import sys

import numpy as np


def main(images: str, answers: str, *files: str) -> None:
    """Write, for the file of number i, `vectors_<i>` (n, d) and `similarity_<i>`, of the first two images."""
    import mediapipe as mp
    from mediapipe.tasks import python as tasks
    from mediapipe.tasks.python import vision

    found = {}
    for index, file in enumerate(files):
        options = vision.ImageEmbedderOptions(base_options=tasks.BaseOptions(model_asset_path=file))
        embedder = vision.ImageEmbedder.create_from_options(options)
        embeddings = []
        for pixels in np.load(images):
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
            (embedding,) = embedder.embed(image).embeddings
            embeddings.append(embedding)
        found[f"vectors_{index}"] = np.stack([np.array(e.embedding) for e in embeddings])
        found[f"similarity_{index}"] = vision.ImageEmbedder.cosine_similarity(*embeddings[:2])
        embedder.close()
    np.savez(answers, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
