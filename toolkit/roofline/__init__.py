"""How far each kernel of a model stands from what the machine's vector pipes and memory allow."""
