"""Embeddings that put what is alike close together: distances, mining, losses, batches by identity."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "ActiveTriplets": "batch_all",
        "ClassCosines": "class_losses",
        "EmbedderSpec": "building",
        "EmbeddingLoss": "embedding_losses",
        "Triplets": "mining",
        "active_triplets": "batch_all",
        "all_triplets": "mining",
        "arcface_loss": "class_losses",
        "backbone_layers": "building",
        "batch_hard": "mining",
        "build": "building",
        "circle_loss": "pair_losses",
        "collapse_advice": "collapse",
        "contrastive_loss": "pair_losses",
        "cosface_loss": "class_losses",
        "count_triplets": "mining",
        "distance_weighted": "mining",
        "embedder": "building",
        "embedder_spec": "building",
        "identity_order": "sampling",
        "list_embedders": "building",
        "make_loss": "embedding_losses",
        "multi_similarity_loss": "pair_losses",
        "paired_distances": "distances",
        "pairwise_distances": "distances",
        "random_triplets": "mining",
        "semi_hard": "mining",
        "triplet_loss": "pair_losses",
        "watch_embedding": "collapse",
        "with_class_cosines": "class_losses",
    },
)
