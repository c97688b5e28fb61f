"""The worker of one host: a pool of job processes for each queue, one that keeps promises, and who looks after them."""
