import { expect, test } from "vitest";
import { checkLink, linkToChat, linkToDeployment, linkToRunbook, linkToWhatIf, parseRoute } from "./route";

test.each(["", "#", "#/"])("%s is the fleet", (hash) => expect(parseRoute(hash)).toEqual({ page: "fleet" }));

test.each([
  ["shop", "chat"],
  ["a/b", 'c"><script>'],
  ["ü", "100%"],
])("the links to %s/%s lead to its pages", (namespace, name) => {
  expect(parseRoute(linkToDeployment(namespace, name))).toEqual({ page: "deployment", namespace, name });
  expect(parseRoute(linkToChat(namespace, name))).toEqual({ page: "chat", namespace, name });
  expect(parseRoute(linkToWhatIf(namespace, name))).toEqual({ page: "what-if", namespace, name });
});

test("a runbook has a page", () => {
  expect(parseRoute(linkToRunbook("RolledBack"))).toEqual({ page: "runbook", name: "RolledBack" });
});

test.each(["#/nonsense", "#/runbooks", "#/runbooks/%2e%2e", "#/runbooks/a/b", "#/llmdeployments", "#/llmdeployments/shop", "#/llmdeployments/shop/chat/edit", "#/llmdeployments/a/b/chat/d"])(
  "%s is no page",
  (hash) => expect(parseRoute(hash)).toEqual({ page: "unknown" }),
);

test.each([
  ["https://docs.example/runbooks/X", true],
  ["http://docs.example/", true],
  ["javascript:alert(1)", false],
  [" javascript:alert(1)", false],
  ["data:text/html,x", false],
  ["/runbooks/X", false],
  ["#/runbooks/RolledBack", true],
  ["#/runbooks/../x", false],
  ["#/runbooks/<b>", false],
  [null, false],
])("%s may become a link: %s", (address, allowed) => expect(checkLink(address)).toBe(allowed ? address : null));
