// What a driver has found, as lines the script that runs it can count.
export class Report {
  failed = 0;
  operation = "query";

  begin(operation) {
    this.operation = operation;
  }

  check(what, isSo) {
    this.tell(what, isSo ? "" : "not as expected");
  }

  equal(what, found, expected) {
    const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
    this.tell(what, one === other ? "" : `${one} is not ${other}`);
  }

  tell(what, wrong) {
    this.failed += wrong ? 1 : 0;
    console.log(`${wrong ? "FAIL" : "ok"} ${this.operation}: ${what}${wrong ? `: ${wrong}` : ""}`);
  }

  async run(parts) {
    for (const [name, part] of Object.entries(parts)) {
      try {
        await part();
      } catch (error) {
        this.tell(name, `${error.name}: ${error.message}`);
      }
    }
    process.exitCode = this.failed ? 1 : 0;
  }
}
