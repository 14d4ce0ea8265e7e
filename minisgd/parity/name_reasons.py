"""Why minisgd lacks a public name of Keras, or has it with another signature.

Names are matched with patterns of the shell, the first that fits counts. A reason covers names that
are not there: it may stay when some of them are added.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

NO_REASON = "no reason is given"

_FUNCTIONAL = "functional API: a Sequential has no symbolic tensors"
_STATELESS = "stateless form for JAX: minisgd has one backend"
_TENSORFLOW = "TensorFlow's graphs, distribution and variables: minisgd has one backend"
_MASKS = "masks: for sequences"
_QUANTIZED = "quantization"
_POLICY = "mixed precision: layers compute in float32 or float64"
_LEGACY = "kept by Keras for scripts of Keras 2"
_STORE = "hooks of Keras's file format for layers with a state of their own"
_REGULARIZED = "regularizers and constraints"
_NOT_ASKED = "works for MLPs, not written yet"

_ABSENT: tuple[tuple[str, str], ...] = (
    # Layers
    ("layers.*Conv*", "not an MLP layer: convolution"),
    ("layers.*Pool*", "not an MLP layer: pooling"),
    ("layers.UpSampling*", "not an MLP layer: images and sequences in space"),
    ("layers.ZeroPadding*", "not an MLP layer: images and sequences in space"),
    ("layers.Cropping*", "not an MLP layer: images and sequences in space"),
    ("layers.SpatialDropout*", "not an MLP layer: images and sequences in space"),
    ("layers.*RNN*", "not an MLP layer: recurrent"),
    ("layers.*LSTM*", "not an MLP layer: recurrent"),
    ("layers.*GRU*", "not an MLP layer: recurrent"),
    ("layers.Bidirectional", "not an MLP layer: recurrent"),
    ("layers.TimeDistributed", "not an MLP layer: sequences"),
    ("layers.RepeatVector", "not an MLP layer: sequences"),
    ("layers.Masking", "not an MLP layer: sequences"),
    ("layers.*Attention*", "not an MLP layer: attention"),
    ("layers.*Embedding*", "not an MLP layer: embedding"),
    ("layers.EinsumDense", "not an MLP layer: for attention"),
    ("layers.[Aa]dd", "merges several inputs: a Sequential has one"),
    ("layers.[Aa]verage", "merges several inputs: a Sequential has one"),
    ("layers.[Cc]oncatenate", "merges several inputs: a Sequential has one"),
    ("layers.[Dd]ot", "merges several inputs: a Sequential has one"),
    ("layers.[Mm]aximum", "merges several inputs: a Sequential has one"),
    ("layers.[Mm]inimum", "merges several inputs: a Sequential has one"),
    ("layers.[Mm]ultiply", "merges several inputs: a Sequential has one"),
    ("layers.[Ss]ubtract", "merges several inputs: a Sequential has one"),
    ("layers.Random*", "preprocessing of images"),
    ("layers.*Mix*", "preprocessing of images"),
    ("layers.Aug*", "preprocessing of images"),
    ("layers.AutoContrast", "preprocessing of images"),
    ("layers.CenterCrop", "preprocessing of images"),
    ("layers.Contrast*", "preprocessing of images"),
    ("layers.*Equalization", "preprocessing of images"),
    ("layers.MaxNumBoundingBoxes", "preprocessing of images"),
    ("layers.RandAugment", "preprocessing of images"),
    ("layers.Resizing", "preprocessing of images"),
    ("layers.Solarization", "preprocessing of images"),
    ("layers.*Spectrogram", "preprocessing of sound"),
    ("layers.*Lookup", "preprocessing of text and categories"),
    ("layers.TextVectorization", "preprocessing of text and categories"),
    ("layers.Hash*", "preprocessing of text and categories"),
    ("layers.CategoryEncoding", "preprocessing of text and categories"),
    ("layers.Discretization", "preprocessing of text and categories"),
    ("layers.Pipeline", "preprocessing of images"),
    ("layers.FlaxLayer", "wraps another framework"),
    ("layers.JaxLayer", "wraps another framework"),
    ("layers.TFSMLayer", "wraps another framework"),
    ("layers.TorchModuleWrapper", "wraps another framework"),
    ("layers.*Wrapper", "wraps a layer"),
    ("layers.SpectralNormalization", "wraps a layer"),
    ("layers.InputSpec", _FUNCTIONAL),
    ("layers.Lambda", "arbitrary code in a model's file: write a Layer, or Activation(function)"),
    ("layers.GroupNormalization", "groups of channels: for convolutions"),
    ("layers.*", _NOT_ASKED),
    # Modules and their names
    ("applications", "image models"),
    ("backend", _LEGACY),
    ("legacy", _LEGACY),
    ("*.legacy", _LEGACY),
    ("device", _TENSORFLOW),
    ("distribut*", _TENSORFLOW),
    ("distillation", "trains one model by another"),
    ("export", "export for serving"),
    ("preprocessing", "images, text and time series"),
    ("quantizers", _QUANTIZED),
    ("Quantizer", _QUANTIZED),
    ("mixed_precision", _POLICY),
    ("dtype_policies", _POLICY),
    ("*DTypePolicy", _POLICY),
    ("remat", "recomputes activations to save memory"),
    ("RematScope", "recomputes activations to save memory"),
    ("S*Scope", _STATELESS),
    ("src", "Keras's own code"),
    ("tree", "nested structures: a Sequential has one input and one output"),
    ("visualization", "images"),
    ("wrappers", "minisgd.sklearn has a classifier"),
    ("name_scope", _TENSORFLOW),
    ("Function", _FUNCTIONAL),
    ("InputSpec", _FUNCTIONAL),
    ("KerasTensor", _FUNCTIONAL),
    ("Operation", _FUNCTIONAL),
    ("Model", _FUNCTIONAL),
    ("models.Model", _FUNCTIONAL),
    (
        "activations.sparsemax",
        "of several entries above 0 Keras's makes no distribution",
    ),
    ("activations.*", _NOT_ASKED),
    ("callbacks.OrbaxCheckpoint", "files of another framework"),
    ("callbacks.RemoteMonitor", "sends a run's figures over the network"),
    ("config.*flash_attention*", "attention"),
    ("config.*nnx*", "another backend"),
    ("config.*", "a global mode: minisgd has none; errors are short without a filter"),
    ("constraints.*", _NOT_ASKED),
    ("Regularizer", _NOT_ASKED),
    ("regularizers.*", _NOT_ASKED),
    ("regularizers", _NOT_ASKED),
    ("constraints", _NOT_ASKED),
    ("datasets.cifar*", "colour images, downloaded: minisgd downloads nothing"),
    ("datasets.*", "downloaded: minisgd downloads nothing"),
    ("initializers.[Ss][Tt][Ff][Tt]*", "sound"),
    ("initializers.*", _NOT_ASKED),
    ("losses.[Cc][Tt][Cc]", "sequences"),
    ("losses.[Cc]ircle", "similarity learning"),
    ("losses.[Dd]ice", "segmentation of images"),
    ("losses.[Tt]versky", "segmentation of images"),
    ("losses.*", _NOT_ASKED),
    ("metrics.*IoU", "segmentation of images"),
    ("metrics.*", _NOT_ASKED),
    ("ops.*", "not used by MLPs; their arrays are NumPy's: x.numpy()"),
    ("optimizers.*", "minisgd studies SGD alone"),
    ("random.*", "not used by MLPs"),
    ("saving.KerasFileEditor", "edits files of models"),
    ("utils.Config", "a dictionary with attributes"),
    ("utils.FeatureSpace", "preprocessing of text and categories"),
    ("utils.*dataset*", "makes tf.data datasets"),
    ("utils.*img*", "images: minisgd predict reads pictures"),
    ("utils.bounding_boxes", "images"),
    ("utils.get_file", "downloads: minisgd downloads nothing"),
    ("utils.get_source_inputs", _FUNCTIONAL),
    ("utils.is_keras_tensor", _FUNCTIONAL),
    ("utils.pad_sequences", "sequences"),
    ("utils.*interactive_logging*", "a global mode: `verbose` says what is printed"),
    ("*", _NOT_ASKED),
)

# Methods and attributes of objects
_ABSENT_MEMBERS: tuple[tuple[str, str], ...] = (
    ("Variable.aggregation", _TENSORFLOW),
    ("Variable.synchronization", _TENSORFLOW),
    ("Variable.handle", _TENSORFLOW),
    ("Variable.overwrite_with_gradient", _QUANTIZED),
    ("Variable.*r*r*", _REGULARIZED),
    ("optimizers.SGD.stateless*", _STATELESS),
    ("metrics.Metric.stateless*", _STATELESS),
    ("*.stateless_*", _STATELESS),
    ("*.get_state_tree", _STATELESS),
    ("*.set_state_tree", _STATELESS),
    ("*.*_own_variables", _STORE),
    ("*.variable_serialization_spec", _STORE),
    ("*quantiz*", _QUANTIZED),
    ("*lora*", "low-rank adaptation"),
    ("*.distribute*", _TENSORFLOW),
    ("*.*_function", _TENSORFLOW),
    ("*.*steps_per_execution", "accepted by compile; changes no result"),
    ("*.supports_jit", _TENSORFLOW),
    ("*mask*", _MASKS),
    ("*.dtype_policy", _POLICY),
    ("*.*_dtype", _POLICY),
    ("*.autocast", _POLICY),
    ("*.compiled_*", _LEGACY),
    ("*.add_metric", _LEGACY),
    ("*.add_variable", _LEGACY),
    ("*.export", "export for serving"),
    ("*.rematerialized_call", "recomputes activations to save memory"),
    ("*.input*", _FUNCTIONAL),
    ("*.output*", _FUNCTIONAL),
    ("*.symbolic_call", _FUNCTIONAL),
    ("*.compute_output_spec", _FUNCTIONAL),
    ("*.call_signature_parameters", _FUNCTIONAL),
    ("*.add_loss", "losses of layers"),
    ("*.losses", "losses of layers"),
    ("*regularizer", _REGULARIZED),
    ("*constraint", _REGULARIZED),
    ("*.metrics", "metrics of layers"),
    ("*.metrics_variables", "metrics keep their state in Python, exactly"),
    ("metrics.Metric.*", "metrics keep their state in Python, exactly"),
    ("*.path", "weights have it, layers don't"),
    ("*SeedGenerator.backend", "minisgd has one backend"),
    ("optimizers.SGD.*", "an optimizer's state is made in one place: see minisgd.optimizers"),
    ("*", _NOT_ASKED),
)

# By the argument in question.
_DIFFERENT: tuple[tuple[str, str], ...] = (
    ("adds reshuffle_each_epoch", "minisgd's own option"),
    ("adds *numerics", "minisgd's own option"),
    ("adds *", "named here; Keras takes it with any others"),
    ("lacks [*]*", "Keras takes further arguments, and ignores or refuses them"),
    ("lacks activity_regularizer", "losses of layers"),
    ("lacks *regularizer", _REGULARIZED),
    ("lacks *constraint", _REGULARIZED),
    ("lacks lora*", "low-rank adaptation"),
    ("lacks quantiz*", _QUANTIZED),
    ("lacks overwrite_with_gradient", _QUANTIZED),
    ("lacks autocast", _POLICY),
    ("lacks sparse", "tensors are dense"),
    ("lacks ragged", "tensors are dense"),
    ("lacks *tensor", _FUNCTIONAL),
    ("lacks optional", _FUNCTIONAL),
    ("lacks call_function", _FUNCTIONAL),
    ("lacks recursive", "nested models are always cloned layer by layer"),
    ("lacks aggregation", _TENSORFLOW),
    ("lacks synchroniz*", _TENSORFLOW),
    ("lacks renorm*", "batch renormalization"),
    ("lacks layout", _TENSORFLOW),
    ("lacks ?*_axes", "fans of kernels with more than two axes"),
    ("lacks mask", _MASKS),
    ("lacks training", "only layers that need it take it"),
    ("lacks max_shard_size", "one file always"),
    ("lacks rebuild", "built as soon as the shape is known"),
    ("*", ""),
)

# Of the rest, by name.
_OTHER: tuple[tuple[str, str], ...] = (
    ("ops.where", "the form with one argument returns indices: not for tensors with gradients"),
    ("optimizers.SGD.update_step", "the step is one kernel for all options"),
    ("metrics.Metric.add_*", "a default more"),
    ("*.add_weight", "the default is written out"),
    ("layers.PReLU", "the same initializer by its other name"),
    ("activations.relu", "for a leak, a ceiling or a threshold: the activation layers"),
    ("Variable", "a variable is made from its values"),
    ("*Input*", "positions: what is absent takes none"),
    ("models.clone_model", "positions: what is absent takes none"),
    ("optimizers.Optimizer", "the base class has the options of all optimizers"),
    ("*", NO_REASON),
)


def why_absent(group: str, name: str) -> str:
    """Why Keras's ``group.name`` is absent."""
    is_object = group.rpartition(".")[2][:1].isupper()
    return _first(_ABSENT_MEMBERS if is_object else _ABSENT, f"{group}.{name}" if group else name)


def why_different(group: str, name: str, differences: list[str]) -> str:
    """Why the signature of ``group.name`` differs; each reason once."""
    full = f"{group}.{name}" if group else name
    found = [_first(_DIFFERENT, text) or _first(_OTHER, full) for text in differences]
    return "; ".join(dict.fromkeys(found))


def _first(table: tuple[tuple[str, str], ...], text: str) -> str:
    return next(reason for pattern, reason in table if fnmatchcase(text, pattern))
