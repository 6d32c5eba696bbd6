"""What work takes and costs: throughput, active time, prices of controls, and when it is done."""
