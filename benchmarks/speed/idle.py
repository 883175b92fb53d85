"""The price of a month without questions, for the resources that a profile creates."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.speed.stacks import Resource, share_on, system
from docwell.query.costs import Prices

HOURS_IN_MONTH = 730
# Metrics of the stack's namespace that have data in an idle month: 25 of functions, the canary's, two of Chroma.
OWN_METRICS = 28
# infra/deployment.yaml asks twice an hour. Each run starts both functions, and takes each about a second.
CANARY_RUNS = 2 * HOURS_IN_MONTH
CANARY_S = 1.0
CANARY_GB = 0.5
# Ten people open the console on each working day, and a document in it: the first view (`make bench-console`), and
# then pdf.js. CloudFront's free tier, which would cover it, is not counted.
CONSOLE_VIEWS, VIEW_REQUESTS, VIEW_GB = 220, 25, 0.0006
# The files of two releases.
CONSOLE_GB = 0.005
# infra/release/credentials.py makes them for the servers of infra/proxy.yaml.
SERVER_SECRETS = 2
# Metrics that EC2 sends each minute with detailed monitoring (its guide, "Monitoring").
_DETAILED_METRICS = 7
_FREE_THROUGHPUT = 125  # MB a second of gp3

MODEL_HOSTS, CHROMA, DISKS = "model hosts", "Chroma", "disks"
WATCHING, NAMES = "alarms, metrics, dashboard", "zones, keys, secrets"
Lines = dict[str, float]


def amounts(prices: Prices) -> Callable[[str], float]:
    """Return a function from a service to its price. It raises `LookupError` where the price file has none."""

    def amount(service: str) -> float:
        if service == prices.model_host.instance:
            return prices.model_host.per_hour
        try:
            return prices.services[service].amount
        except KeyError:
            where = "under `services`: see docwell/query/prices.json"
            raise LookupError(f"price file {prices.name} has no price of {service!r} {where}") from None

    return amount


def idle_month(prices: Prices, parameters: Mapping[str, Any] | None = None) -> Lines:
    """Return the price of each part in a month without questions; without parameters, of the defaults."""
    price, stack = amounts(prices), system(parameters or {})
    hours = HOURS_IN_MONTH * share_on(str(stack.values.names["OllamaNight"]))
    lines = dict.fromkeys((MODEL_HOSTS, CHROMA, *(part for part, _ in _PRICED.values())), 0.0)
    lines[WATCHING] = OWN_METRICS * price("metric")
    for one in stack.resources():
        if one.type == "AWS::AutoScaling::AutoScalingGroup":
            for part, amount in _servers(one, price, hours).items():
                lines[part] += amount
        elif one.type in _PRICED:
            part, of = _PRICED[one.type]
            lines[part] += of(one, price)
    if any("SecretsPolicy" in one.template["Resources"] for one in stack.stacks()):
        lines[NAMES] += SERVER_SECRETS * price("secret")
    query_gb = stack.stack_of("QueryFunction").of("QueryFunction").of("MemorySize") / 1024
    lines["snapshot of the query function"] = query_gb * HOURS_IN_MONTH * 3600 * price("snapstart_cache")
    gb_s, function = (query_gb + CANARY_GB) * CANARY_S, prices.function
    run = query_gb * price("snapstart_restore") + gb_s * function.per_gb_second + 2 * function.per_request
    lines["canary"] = CANARY_RUNS * run
    return lines


# What a resource of a type adds to a part. Other types cost nothing without questions.
_PRICED: dict[str, tuple[str, Callable[[Resource, Callable[[str], float]], float]]] = {
    "AWS::EC2::Volume": (DISKS, lambda one, price: int(one.of("Size")) * price("disk")),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        "load balancers",
        lambda _, price: HOURS_IN_MONTH * price("load_balancer"),
    ),
    "AWS::EC2::NatGateway": ("NAT gateway", lambda _, price: HOURS_IN_MONTH * price("nat_gateway")),
    "AWS::EC2::EIP": ("public addresses", lambda _, price: HOURS_IN_MONTH * price("public_address")),
    # A gateway endpoint has no subnets and costs nothing.
    "AWS::EC2::VPCEndpoint": (
        "endpoints",
        lambda one, price: len(one.of("SubnetIds") or ()) * HOURS_IN_MONTH * price("endpoint"),
    ),
    "AWS::WAFv2::WebACL": (
        "firewall",
        lambda one, price: price("firewall") + len(one.of("Rules")) * price("firewall_rule"),
    ),
    "AWS::CloudFront::Distribution": ("console", lambda _, price: _console(price)),
    "AWS::CloudWatch::Alarm": (WATCHING, lambda one, price: _metrics_of(one) * price("alarm")),
    "AWS::CloudWatch::CompositeAlarm": (WATCHING, lambda _, price: price("composite_alarm")),
    "AWS::CloudWatch::Dashboard": (WATCHING, lambda _, price: price("dashboard")),
    "AWS::Route53::HostedZone": (NAMES, lambda _, price: price("zone")),
    "AWS::KMS::Key": (NAMES, lambda _, price: price("key")),
    "AWS::SecretsManager::Secret": (NAMES, lambda _, price: price("secret")),
}


def _console(price: Callable[[str], float]) -> float:
    """Return the price of the console's views and of its files, which CloudFront keeps for most of them."""
    view = VIEW_REQUESTS * (price("cdn_request") + price("object_get")) + VIEW_GB * price("cdn_traffic")
    return CONSOLE_VIEWS * view + CONSOLE_GB * price("object_storage")


def _metrics_of(alarm: Resource) -> int:
    """Return how many metrics an alarm reads: CloudWatch bills each."""
    return sum("MetricStat" in one for one in alarm.of("Metrics") or ()) or 1


def _servers(group: Resource, price: Callable[[str], float], host_hours: float) -> Lines:
    """Return the price of a group's servers: of its desired size if that is fixed, else of its minimum."""
    used = (
        group.of("LaunchTemplate")
        or group.of("MixedInstancesPolicy")["LaunchTemplate"]["LaunchTemplateSpecification"]
    )
    template = group.stack.of(used["LaunchTemplateId"])
    instance = str(template.of("LaunchTemplateData", "InstanceType"))
    fixed = group.of("DesiredCapacity")
    part, hours = (MODEL_HOSTS, host_hours) if fixed is None else (CHROMA, HOURS_IN_MONTH)
    hours *= int(fixed or group.of("MinSize"))
    detailed = (
        _DETAILED_METRICS * price("metric") if template.of("LaunchTemplateData", "Monitoring", "Enabled") else 0
    )
    disks = 0.0
    for disk in template.of("LaunchTemplateData", "BlockDeviceMappings"):
        more = max(0, disk["Ebs"].get("Throughput", 0) - _FREE_THROUGHPUT)
        disks += disk["Ebs"]["VolumeSize"] * price("disk") + more * price("disk_throughput")
    months = hours / HOURS_IN_MONTH
    return {
        part: hours * price(instance),
        DISKS: months * disks,
        WATCHING: months * detailed,
    }
