"""Where everyone starts: what is left to do, one's own pace, and the way to everything else."""
