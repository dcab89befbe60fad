"""The integer ops once more, in NumPy: slow, from their written definitions, sharing no code with the runtime.

Accumulators are int64, float steps single float32 operations. What has no definition here, of the standard domain, runs in ONNX's
reference evaluator. ``evaluate`` runs a whole model of the integer dialect.
"""

from qgraph.execute.integer.evaluate import evaluate

__all__ = ["evaluate"]
