/** Conditions, events, cost and experiment: what the status says, as tables. */

import type { Condition, Cost, Experiment, ExperimentMetric, KubeEvent } from "../contract";
import { formatAgo, formatMoney, formatNumber } from "../format";
import { checkLink } from "../route";

export function Conditions({ conditions, now }: { conditions: Condition[]; now: number }) {
  return (
    <section class="card" aria-labelledby="conditions-title">
      <h2 id="conditions-title">Conditions</h2>
      {conditions.length === 0 && <p class="muted">The operator has not looked at it yet.</p>}
      <ul class="list" tabIndex={0} aria-label="Conditions">
        {conditions.map((each) => (
          <li key={each.type}>
            <b>{each.type}</b> {each.status === "Unknown" ? "is unknown" : `is ${each.status}`} · {each.reason}{" "}
            <span class="muted">since {formatAgo(each.lastTransitionTime, now)}</span>
            <p>
              {each.message} <Runbook condition={each} />
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Runbook({ condition }: { condition: Condition }) {
  const link = checkLink(condition.runbook);
  if (link === null) return null;
  if (link.startsWith("#")) return <a href={link}>Runbook for {condition.reason}</a>;
  return (
    <a href={link} target="_blank" rel="noreferrer noopener">
      Runbook for {condition.reason}
    </a>
  );
}

export function Events({ events, now }: { events: KubeEvent[]; now: number }) {
  return (
    <section class="card" aria-labelledby="events-title">
      <h2 id="events-title">Events</h2>
      {events.length === 0 && <p class="muted">No event in the last hour.</p>}
      <ul class="list" tabIndex={0} aria-label="Events">
        {events.map((each, index) => (
          <li key={`${each.at}/${index}`}>
            <span class="muted">{formatAgo(each.at, now)}</span>{" "}
            <b class={each.type === "Warning" ? "warning" : ""}>
              {each.type === "Warning" ? "Warning: " : ""}
              {each.reason}
            </b>{" "}
            {each.message}
          </li>
        ))}
      </ul>
    </section>
  );
}

export function Costs({ cost }: { cost: Cost }) {
  const say = (amount: string | null | undefined): string => formatMoney(amount, cost.currency);
  return (
    <section class="card" aria-labelledby="cost-title">
      <h2 id="cost-title">Cost</h2>
      <p>
        <span class="big">{say(cost.perHour)}</span> per hour, of it {say(cost.idlePerHour)} idle. {say(cost.monthToDate)} in{" "}
        {cost.month ?? "this month"}
        {cost.budget ? `, ${formatNumber(cost.budgetPercent, 0)} % of the budget of ${say(cost.budget)}` : ""}.
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Cost by revision">
        <table>
          <thead>
            <tr>
              {["Revision", "Per hour", "This month", "Per 1000 requests", "Per million output tokens"].map((title) => (
                <th key={title} scope="col">
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {(cost.revisions ?? []).map((each) => (
              <tr key={each.revision}>
                <th scope="row">r{each.revision}</th>
                <td>{say(each.perHour)}</td>
                <td>{say(each.monthToDate)}</td>
                <td>{say(each.perThousandRequests)}</td>
                <td>{say(each.perMillionOutputTokens)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

export function ExperimentTable({ experiment, now }: { experiment: Experiment; now: number }) {
  const widest = findWidest(experiment);
  const rows = (experiment.arms ?? []).flatMap((arm) => (arm.metrics ?? []).map((metric) => ({ arm, metric })));
  return (
    <section class="card wide" aria-labelledby="experiment-title">
      <h2 id="experiment-title">Experiment</h2>
      <p>
        <b>{experiment.outcome ?? "Running"}</b>
        {experiment.winner ? `: ${experiment.winner}` : ""} · began {formatAgo(experiment.startedAt, now)}.{" "}
        {experiment.message}
      </p>
      {experiment.plan && <p class="muted">{experiment.plan}</p>}
      <div class="scroll" tabIndex={0} role="region" aria-label="Comparison of the arms">
        <table>
          <thead>
            <tr>
              {["Arm", "Metric", `Control ${experiment.control ?? ""}`, "Arm's", "Difference", "Interval", "Result", "Requests (control)", "Users (control)"].map(
                (title) => (
                  <th key={title} scope="col">
                    {title}
                  </th>
                ),
              )}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ arm, metric }) => (
              <tr key={`${arm.name}/${metric.name}`}>
                <th scope="row">{arm.name}</th>
                <td>{metric.name}</td>
                <td>{metric.control ?? "–"}</td>
                <td>{metric.arm ?? "–"}</td>
                <td>{metric.difference ?? "–"}</td>
                <td>
                  {metric.low ?? "–"} to {metric.high ?? "–"} <Interval metric={metric} widest={widest} />
                </td>
                <td>{metric.result ?? "Undecided"}</td>
                <td>
                  {formatNumber(arm.requests, 0)} ({formatNumber(arm.controlRequests, 0)})
                </td>
                <td>
                  {formatNumber(arm.users, 0)} ({formatNumber(arm.controlUsers, 0)})
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** The largest distance of any interval's end from zero. */
function findWidest(experiment: Experiment): number {
  const metrics = (experiment.arms ?? []).flatMap((arm) => arm.metrics ?? []);
  const ends = metrics.flatMap((each) => [Number(each.low), Number(each.high)]).filter(Number.isFinite);
  return Math.max(1, ...ends.map(Math.abs));
}

/** An interval as a bar around a line at zero; its numbers stand beside it. */
function Interval({ metric, widest }: { metric: ExperimentMetric; widest: number }) {
  const place = (value: string | null | undefined): number => 50 + (48 * Number(value ?? Number.NaN)) / widest;
  const [low, high, middle] = [place(metric.low), place(metric.high), place(metric.difference)];
  if (![low, high, middle].every(Number.isFinite)) return null;
  return (
    <svg class="interval" viewBox="0 0 100 16" aria-hidden="true">
      <path class="zero" d="M50 0V16" />
      <path d={`M${low} 8H${high}`} />
      <circle cx={middle} cy="8" r="4" />
    </svg>
  );
}
