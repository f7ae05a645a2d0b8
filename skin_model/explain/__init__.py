"""Where a network looked: class activation maps without TensorFlow, gradient methods with it, and their overlay."""
