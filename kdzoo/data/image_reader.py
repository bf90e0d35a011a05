"""Python source that reads an image file as a data set's images are read in evaluation, without kdzoo."""

from __future__ import annotations

from kdzoo.data.sets import ImageSet

SOURCE = '''def read(path):
    """An image file as the network takes it: (1, channels, height, width), normalized."""
    channels, height, width = CARD["data"]["shape"]
    image = Image.open(path).convert("{mode}")
{window}    pixels = torch.from_numpy(np.array(image)).view(image.height, image.width, channels).permute(2, 0, 1)[None]
    if (image.height, image.width) != (height, width):
        pixels = F.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True)
    mean, sd = (torch.tensor(CARD["data"][name]).view(-1, 1, 1) for name in ("mean", "std"))
    return (pixels / 255 - mean) / sd'''
WINDOW = """    side = max(1, round(min(image.size) * {margin}))  # the middle square, as in evaluation
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
"""


def image_reader(images: ImageSet) -> str:
    """A function `read(path)` for images of these channels and this size; empty where they are neither gray nor color."""
    mode = {1: "L", 3: "RGB"}.get(images.shape[0])
    if mode is None:
        return ""
    return SOURCE.format(mode=mode, window="" if images.margin is None else WINDOW.format(margin=images.margin))
