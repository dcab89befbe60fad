"""The only places that recognise ops spread over several nodes: a linear op with its bias, attention, RMSNorm."""
