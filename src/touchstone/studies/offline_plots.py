"""A page template for `dvc plots` that holds Vega itself: DVC's own page loads it from the network."""

from pathlib import Path

from touchstone.errors import TouchstoneError
from touchstone.studies.commands import dvc_output

TEMPLATE = "plots.html"  # below .dvc
VEGA_LITE = "5.21"  # the templates are written for version 5
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>DVC plots</title>
<style>body { font: 100% system-ui, sans-serif; margin: 2rem; } body > div { margin: 0 0 2rem; }</style>
<script>VEGA</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def offline_plots(root: Path) -> Path:
    """Write the template and make it that of `dvc plots` in this copy of the project; return its path.

    Raises TouchstoneError where the package that holds Vega is not installed, and outside of the project's folder.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise TouchstoneError("vl-convert-python is not installed: pip install 'touchstone[plots]'") from error
    file = root / ".dvc" / TEMPLATE
    if not file.parent.is_dir():
        raise TouchstoneError("there is no .dvc here; run from the folder that holds dvc.yaml")
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE).replace("</script", "<\\/script")
    file.write_text(PAGE.replace("VEGA", f"(() => {{{bundle}}})();"), encoding="utf-8")  # no name of its own is global
    dvc_output(root, "config", "--local", "plots.html_template", TEMPLATE)
    return file
