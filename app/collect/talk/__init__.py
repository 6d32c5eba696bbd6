"""Live conversation: an annotator writes, the policy answers twice, the chosen answer goes on."""
