/** The vote on two answers whose revisions are hidden, and what the votes so far say. */

import type { Answer } from "./answers";
import { formatCount, formatShare } from "./format";
import { type Choice, type Tally, type Vote, countVotes, findInterval, formatLines } from "./votes";

const CHOICES: [Choice, string][] = [
  ["left", "Left is better"],
  ["same", "Both the same"],
  ["right", "Right is better"],
];

export function Ballot({ choose }: { choose: (choice: Choice) => void }) {
  return (
    <div class="buttons ballot" role="group" aria-label="Your vote">
      {CHOICES.map(([choice, label]) => (
        <button key={choice} type="button" onClick={() => choose(choice)}>
          {label}
        </button>
      ))}
    </div>
  );
}

/** Whether two answers can be voted on: both are complete. */
export function canVote(answers: Answer[], busy: boolean): boolean {
  const [left, right] = answers;
  return !busy && !!left?.end && !!right?.end;
}

export function Votes({ votes }: { votes: Vote[] }) {
  if (votes.length === 0) return null;
  return (
    <section class="card" aria-labelledby="votes-title">
      <h2 id="votes-title">Votes</h2>
      <ul class="tallies">
        {countVotes(votes).map((each) => (
          <li key={`${each.newer}/${each.older}`}>{describeTally(each)}</li>
        ))}
      </ul>
      <div class="buttons">
        <button type="button" onClick={() => save(votes)}>
          Save {formatCount(votes.length, "vote")} as JSON lines
        </button>
        <span class="muted small">They are kept in this tab alone, until it is closed, and count in no experiment.</span>
      </div>
    </section>
  );
}

/** The votes on a pair in a sentence. */
export function describeTally({ newer, older, newerBetter, olderBetter, same }: Tally): string {
  const decided = newerBetter + olderBetter;
  const equal = same > 0 ? ` ${formatCount(same, "vote")} for neither.` : "";
  if (decided === 0) return `r${newer} and r${older}:${equal}`;
  const [low, high] = findInterval(newerBetter, decided);
  const share = formatShare(newerBetter / decided);
  return `r${newer} is better than r${older} in ${newerBetter} of ${formatCount(decided, "vote")}: ${share}, 95 % interval ${formatShare(low)} to ${formatShare(high)}.${equal}`;
}

function save(votes: Vote[]): void {
  const address = URL.createObjectURL(new Blob([formatLines(votes)], { type: "application/jsonl" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = "votes.jsonl";
  link.click();
  URL.revokeObjectURL(address);
}
