/** The addresses of the pages: what stands behind `#`. */

export type Route =
  | { page: "fleet" }
  | { page: "deployment"; namespace: string; name: string }
  | { page: "chat" | "what-if"; namespace: string; name: string }
  | { page: "runbook"; name: string }
  | { page: "unknown" };

/** The name of a runbook: the reason of a condition. */
const RUNBOOK = /^[A-Za-z]{1,64}$/;

/** The route of an address such as `#/llmdeployments/shop/chat`. */
export function parseRoute(hash: string): Route {
  const parts = hash.replace(/^#?\/?/, "").split("/").map(decode);
  if (parts.length === 1 && parts[0] === "") return { page: "fleet" };
  const [kind, namespace, name, rest] = parts;
  if (kind === "runbooks" && parts.length === 2 && RUNBOOK.test(namespace ?? "")) return { page: "runbook", name: namespace ?? "" };
  if (kind !== "llmdeployments" || !namespace || !name || parts.length > 4) return { page: "unknown" };
  if (rest === undefined || rest === "") return { page: "deployment", namespace, name };
  return rest === "chat" || rest === "what-if" ? { page: rest, namespace, name } : { page: "unknown" };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function linkToDeployment(namespace: string, name: string): string {
  return `#/llmdeployments/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}

export function linkToChat(namespace: string, name: string): string {
  return `${linkToDeployment(namespace, name)}/chat`;
}

export function linkToWhatIf(namespace: string, name: string): string {
  return `${linkToDeployment(namespace, name)}/what-if`;
}

export function linkToRunbook(name: string): string {
  return `#/runbooks/${name}`;
}

/** An address from outside that may become a link: https, http and this page's own runbooks alone, never `javascript:`. */
export function checkLink(address: string | null): string | null {
  if (address !== null && parseRoute(address).page === "runbook") return address.startsWith("#/") ? address : null;
  if (address === null || !URL.canParse(address)) return null;
  const { protocol } = new URL(address);
  return protocol === "https:" || protocol === "http:" ? address : null;
}
