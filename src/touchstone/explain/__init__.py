"""Why a net predicts what it does: attributions to pixels, attention maps, and checks of the methods."""
