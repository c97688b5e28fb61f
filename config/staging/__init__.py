"""Proof of the runtime chain: the real queue, a real worker, and a worker that is killed in the middle."""
