"""What a server meets from peers who mean it harm: broken, doubled, slow, huge and ambiguous requests."""
