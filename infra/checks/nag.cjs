// Run cdk-nag's rules over plain CloudFormation templates, without an account or the network.
// Usage: node nag.cjs TEMPLATE... with NODE_PATH at the folder of cdk-nag. Prints findings as JSON lines.
const path = require("node:path");
const { App, Aspects, Stack } = require("aws-cdk-lib");
const { CfnInclude } = require("aws-cdk-lib/cloudformation-include");
const { AwsSolutionsChecks, NagReportFormat, ServerlessChecks } = require("cdk-nag");

// Collects the rules' findings in place of the CDK's annotations.
class Collector {
  constructor(template) {
    this.template = template;
  }
  print(kind, data) {
    const resource = data.resource.node.id;
    const finding = { template: this.template, rule: data.ruleId, resource, level: data.ruleLevel, kind };
    console.log(JSON.stringify({ ...finding, text: data.ruleInfo, reason: data.errorMessage }));
  }
  onCompliance() {}
  onNotApplicable() {}
  onNonCompliance(data) {
    this.print("finding", data);
  }
  onSuppressed() {}
  onSuppressedError() {}
  onError(data) {
    this.print("unreadable", data);
  }
}

for (const file of process.argv.slice(2)) {
  const app = new App({ outdir: path.join(path.dirname(file), "cdk.out"), analyticsReporting: false });
  const stack = new Stack(app, path.basename(file).replace(/\W/g, "-"));
  new CfnInclude(stack, "T", { templateFile: file });
  const options = { additionalLoggers: [new Collector(path.basename(file))], reports: false, logIgnores: true };
  Aspects.of(app).add(new AwsSolutionsChecks({ ...options, verbose: false }));
  Aspects.of(app).add(new ServerlessChecks({ ...options, verbose: false }));
  try {
    app.synth();
  } catch (error) {
    // The CDK reports the collected findings as an error too.
    if (!/Found errors/.test(error.message)) throw error;
  }
}
