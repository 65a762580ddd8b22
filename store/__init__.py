"""Records, the LaunchPad and the two backends they live on."""
