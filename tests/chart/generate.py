"""`python -m tests.chart.generate` writes what follows from the chart: schema descriptions, README, golden renders."""

from tests.chart.golden import golden_file, golden_text
from tests.rig.chart import VALUES_FILES
from tests.rig.documented import README, SCHEMA, readme_text, schema_text

if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    README.write_text(readme_text(), encoding="utf-8")
    for values_file in VALUES_FILES:
        golden_file(values_file).write_text(golden_text(values_file), encoding="utf-8")
