/** The frame of all pages. */

import { ChatPage } from "./chat";
import { DeploymentPage } from "./deployment";
import { FleetPage } from "./fleet";
import { useHeading, useRoute } from "./hooks";
import { RunbookPage } from "./runbook";
import { WhatIfPage } from "./what-if";
import { type Route, linkToDeployment } from "./route";

export function App() {
  const route = useRoute();
  return (
    <>
      <a class="skip" href="#main" onClick={skipToMain}>
        Skip to the content
      </a>
      <header class="top">
        <nav aria-label="Pages">
          <a class="brand" href="#/" aria-current={route.page === "fleet" ? "page" : undefined}>
            Fleet
          </a>
          <Trail route={route} />
        </nav>
        <span class="muted product">LLMDeployment console</span>
      </header>
      <main id="main" tabIndex={-1}>
        <Page route={route} />
      </main>
    </>
  );
}

/** The address is a route, so the link must not change it. */
function skipToMain(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Trail({ route }: { route: Route }) {
  if (route.page !== "deployment" && route.page !== "chat" && route.page !== "what-if") return null;
  const { namespace, name } = route;
  return (
    <>
      <span aria-hidden="true">›</span>
      <a href={linkToDeployment(namespace, name)} aria-current={route.page === "deployment" ? "page" : undefined}>
        {namespace}/{name}
      </a>
      {route.page !== "deployment" && (
        <>
          <span aria-hidden="true">›</span>
          <span aria-current="page">{route.page === "chat" ? "Chat side by side" : "What if"}</span>
        </>
      )}
    </>
  );
}

function Page({ route }: { route: Route }) {
  switch (route.page) {
    case "fleet":
      return <FleetPage />;
    case "deployment":
      return <DeploymentPage key={`${route.namespace}/${route.name}`} namespace={route.namespace} name={route.name} />;
    case "chat":
      return <ChatPage key={`${route.namespace}/${route.name}`} namespace={route.namespace} name={route.name} />;
    case "what-if":
      return <WhatIfPage key={`${route.namespace}/${route.name}`} namespace={route.namespace} name={route.name} />;
    case "runbook":
      return <RunbookPage key={route.name} name={route.name} />;
    case "unknown":
      return <UnknownPage />;
  }
}

function UnknownPage() {
  const heading = useHeading<HTMLHeadingElement>("No such page");
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>
        No such page
      </h1>
      <p>
        The console has no page at this address. <a href="#/">See the fleet.</a>
      </p>
    </>
  );
}
