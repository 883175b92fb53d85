"""The dashboard and the saved log queries, described once, for CloudWatch and for Grafana (`make dashboards`).

::

    parts.py       what a dashboard is made of: metrics, lines, graphs, tables, sections
    contents.py    what docwell's dashboard shows, top to bottom
    queries.py     the saved Logs Insights queries, which are its tables too
    cloudwatch.py  into infra/observability.yaml, between two marks
    grafana.py     into infra/grafana/docwell.json

A `${Name}` is a parameter of infra/observability.yaml to CloudFormation and a variable to Grafana.
"""
