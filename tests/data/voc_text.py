"""The text of a Pascal VOC file."""


def voc_object(label, xmin, ymin, xmax, ymax, difficult=0) -> str:
    corners = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return (
        f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"
    )
