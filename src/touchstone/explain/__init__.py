"""Why a net answered as it did: attributions, attention, and checks of both."""
