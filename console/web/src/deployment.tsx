/** The page of one LLMDeployment, which follows it live. */

import { useEffect, useState } from "preact/hooks";
import { fetchDeployment, followDeployment } from "./api";
import type { Deployment, Point } from "./contract";
import { Actions } from "./deployment/actions";
import { GoldenSet } from "./deployment/evaluation";
import { Conditions, Costs, Events, ExperimentTable } from "./deployment/facts";
import { Curves } from "./deployment/latency";
import { Rollout } from "./deployment/rollout";
import { Scaling } from "./deployment/scaling";
import { Verdict } from "./deployment/verdict";
import { MOST_POINTS, addPoint } from "./history";
import { useCalm, useHeading } from "./hooks";
import { linkToChat, linkToWhatIf } from "./route";
import { State } from "./state";

interface Live {
  deployment: Deployment | null;
  points: Point[];
  /** What the server says of the past, if some of it is missing. */
  note: string;
  failure: string;
}

export function DeploymentPage({ namespace, name }: { namespace: string; name: string }) {
  const heading = useHeading<HTMLHeadingElement>(`${namespace}/${name}`);
  const { deployment, points, note, failure } = useLive(namespace, name);
  const announce = useCalm(deployment?.sentence);
  // Ages are of the server's clock: the newest point has its time.
  const newest = points.at(-1);
  const now = newest === undefined ? Date.now() : Date.parse(newest.at);
  return (
    <>
      <div class="title">
        <h1 ref={heading} tabIndex={-1}>
          <span class="muted">{namespace}/</span>
          {name}
        </h1>
        {deployment !== null && <State state={deployment.state} />}
        <a class="button" href={linkToChat(namespace, name)}>
          Chat side by side
        </a>
        <a class="button" href={linkToWhatIf(namespace, name)}>
          What if
        </a>
      </div>
      <p class="sentence" aria-live={announce}>
        {deployment?.sentence ?? (failure === "" ? "Loads …" : "")}
      </p>
      {failure !== "" && (
        <p role="alert" class="failure">
          {failure}
        </p>
      )}
      {note !== "" && <p class="muted">{note}</p>}
      {deployment !== null && <Sections deployment={deployment} points={points} now={now} />}
    </>
  );
}

function Sections({ deployment, points, now }: { deployment: Deployment; points: Point[]; now: number }) {
  const { namespace, name } = deployment;
  return (
    <>
      <Actions namespace={namespace} name={name} actions={deployment.actions} arms={deployment.rollout} />
      <div class="sections">
        <Rollout arms={deployment.rollout} revisions={deployment.revisions} />
        <Verdict analysis={deployment.analysis} points={points} />
        <Curves deployment={deployment} points={points} />
        <Scaling points={points} decisions={deployment.scaling} now={now} />
        {deployment.evaluation && <GoldenSet deployment={deployment} now={now} />}
        {deployment.experiment && <ExperimentTable experiment={deployment.experiment} now={now} />}
        {deployment.cost && <Costs cost={deployment.cost} />}
        <Conditions conditions={deployment.conditions} now={now} />
        <Events events={deployment.events} now={now} />
      </div>
    </>
  );
}

/** The document and the points of one LLMDeployment, as they come. */
function useLive(namespace: string, name: string): Live {
  const [live, setLive] = useState<Live>({ deployment: null, points: [], note: "", failure: "" });
  useEffect(() => {
    const change = (part: Partial<Live>): void => setLive((last) => ({ ...last, ...part }));
    const load = (): void => {
      fetchDeployment(namespace, name).then(
        (deployment) => change({ deployment, failure: "" }),
        (error: Error) => change({ failure: error.message }),
      );
    };
    load();
    return followDeployment(namespace, name, {
      onHistory: ({ points, message }) => change({ points: points.slice(-MOST_POINTS), note: message ?? "" }),
      onPoint: (point) => setLive((last) => ({ ...last, points: addPoint(last.points, point) })),
      onDeployment: (deployment) => change({ deployment, failure: "" }),
      onConnection: (connected) => {
        if (connected) change({ failure: "" });
        // The stream does not say why it broke. A request does: the session has ended, or the object is gone.
        else load();
      },
    });
  }, [namespace, name]);
  return live;
}
