"""Images in: folders, tables, arrays, data sets and boxes as one `VisionData`; the doctor; augmentation.

Nothing here imports TensorFlow until a `tf.data` pipeline or an augmentation is asked for.
"""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "Augmentation": "augmentations",
        "BoxAugmentation": "box_augmentations",
        "Checkup": "doctor.checkup",
        "ImageBoxes": "boxes",
        "MaskAugmentation": "mask_augmentations",
        "LabelMaps": "label_maps",
        "PixelCache": "pixel_cache",
        "Preprocessing": "preprocessing",
        "Samples": "vision_data",
        "Scene": "scenes",
        "VisionData": "vision_data",
        "augmentation": "augmentations",
        "box_augmentation": "box_augmentations",
        "box_csv": "box_tables",
        "camvid": "mask_folders",
        "check": "doctor.checkup",
        "coco": "coco_files",
        "coco_masks": "coco_label_maps",
        "from_arrays": "in_memory",
        "from_tfds": "datasets",
        "identity_arrays": "identities",
        "identity_csv": "identities",
        "identity_folder": "identities",
        "image_csv": "tables",
        "image_folder": "folders",
        "mask_augmentation": "mask_augmentations",
        "masks": "mask_folders",
        "open_image": "decoding",
        "pascal_voc": "voc",
        "pascal_voc_masks": "mask_folders",
        "random_scene": "scenes",
        "read_boxes": "box_formats",
        "read_masks": "mask_formats",
        "shapes": "synthetic",
        "stratified_split": "splits",
        "write_box_csv": "box_tables",
        "write_coco": "coco_files",
        "write_pascal_voc": "voc",
        "write_yolo": "yolo_files",
        "yolo": "yolo_files",
    },
)
