"""Live streams: what directs them, what paces them, what sends them. This package never imports torch."""
