/** The rollout of each arm: its revisions, their weights, and the steps with the current one. */

import type { Revision, RolloutArm, Step } from "../contract";
import { formatLatency, formatNumber, formatRate, formatShare, formatSpan } from "../format";
import { TrafficBar } from "../traffic";

export function Rollout({ arms, revisions }: { arms: RolloutArm[]; revisions: Revision[] }) {
  return (
    <section class="card wide" aria-labelledby="rollout-title">
      <h2 id="rollout-title">Rollout</h2>
      {arms.map((arm) => (
        <div key={arm.name} class="arm">
          {arms.length > 1 && (
            <h3>
              Arm {arm.name} <span class="muted">{formatNumber(arm.weight)} % of the requests</span>
            </h3>
          )}
          <TrafficBar arms={[{ ...arm, weight: 100 }]} />
          <p>{arm.sentence}</p>
          {arm.canary !== null && arm.steps.length > 0 && <Steps arm={arm} />}
        </div>
      ))}
      <Revisions revisions={revisions} />
    </section>
  );
}

function Steps({ arm }: { arm: RolloutArm }) {
  // The step after the last one is the promotion.
  const current = arm.step ?? 0;
  return (
    <ol class="steps" aria-label={`Steps of revision ${arm.canary}`}>
      {arm.steps.map((step, index) => {
        const number = index + 1;
        const kind = number < current ? "done" : number === current ? "current" : "to-come";
        return (
          <li key={number} class={kind} aria-current={kind === "current" ? "step" : undefined}>
            <b>{step.weight} %</b>
            <span>{describeStep(step)}</span>
            <span class="hidden">{kind === "done" ? ", done" : kind === "current" ? ", now" : ", to come"}</span>
          </li>
        );
      })}
      <li
        class={current > arm.steps.length ? "current" : "to-come"}
        aria-current={current > arm.steps.length ? "step" : undefined}
      >
        <b>100 %</b>
        <span>promotion</span>
      </li>
    </ol>
  );
}

function describeStep(step: Step): string {
  // A pause is a duration such as 10m, or a sentence such as "until promoted".
  const pause = step.pause && /^\d/.test(step.pause) ? `for ${step.pause}` : step.pause;
  const parts = [pause, step.analysis ? "analysis" : ""].filter(Boolean);
  return parts.join(", ") || "no pause";
}

function Revisions({ revisions }: { revisions: Revision[] }) {
  if (revisions.length === 0) return <p class="muted">There is no revision yet.</p>;
  const titles = ["Revision", "Change", "State", "Replicas", "TTFT p50", "TTFT p90", "Errors", "Output tokens", "Age"];
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Revisions">
      <table>
        <thead>
          <tr>
            {titles.map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {revisions.map((each) => (
            <tr key={each.number}>
              <th scope="row">r{each.number}</th>
              <td class="text">{each.change ?? "–"}</td>
              <td>
                {each.serves ? <b>serves</b> : null} {each.state}
              </td>
              <td>{each.ready === undefined ? each.replicas : `${each.ready}/${each.replicas}`}</td>
              <td>{formatLatency(each.ttftP50)}</td>
              <td>{formatLatency(each.ttftP90)}</td>
              <td>{formatShare(each.errorRatio)}</td>
              <td>
                {formatRate(formatNumber(each.outputTokensPerSecond, 0), "s")}
              </td>
              <td>{formatSpan(each.age)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
