import { useMemo, useState } from "react";
import { useKeySheet, useKeys } from "../../lib/keys";
import { go } from "../../lib/route";
import { useWordsOf } from "../../lib/settings";
import "../../style/clusters.css";
import { ClusterPage } from "./ClusterPage";
import { Compare } from "./Compare";
import { JobPage } from "./JobPage";
import { movingKeys } from "./moving";
import { NewRun } from "./NewRun";
import { RunPage } from "./RunPage";
import { Runs } from "./Runs";
import { nextRound } from "./rounds";
import { type ClustersState, EMPTY, formatClusters, parseClusters, USUAL } from "./state";
import { WORDS } from "./words";

/** Groups of images that look alike; what is shown follows from the address. */
export function ClustersView({ params }: { params: URLSearchParams }) {
  const w = useWordsOf(WORDS);
  const state = useMemo(() => parseClusters(params), [params]);
  useState(nextRound); // who comes here sees what was made elsewhere meanwhile

  function update(change: Partial<ClustersState>, how: "push" | "replace" = "push"): void {
    go({ view: "clusters", params: formatClusters({ ...state, ...change }) }, how);
  }
  const show = (next: Partial<ClustersState>) =>
    go({ view: "clusters", params: formatClusters({ ...EMPTY, ...next }) });
  const create = () => show({ wanted: USUAL });
  const up = () => {
    if (state.cluster !== null || state.against)
      show({ run: state.run, order: state.order, find: state.find });
    else show({});
  };
  useKeys({ n: create, u: up, ...(!state.item && movingKeys()) });
  useKeySheet(w.sheet);

  return (
    <div className={state.item ? "clusters with-look" : "clusters"}>
      <main id="main" tabIndex={-1}>
        {shown()}
      </main>
    </div>
  );

  function shown() {
    const { wanted, job, run, against, cluster } = state;
    if (wanted)
      return (
        <NewRun
          wanted={wanted}
          onChange={(next) => update({ wanted: next }, "replace")}
          onStarted={(started) => show({ job: started.id })}
        />
      );
    if (job) return <JobPage key={job} uid={job} />;
    if (!run) return <Runs onNew={create} />;
    if (against) return <Compare state={state} update={update} />;
    if (cluster !== null) return <ClusterPage state={state} number={cluster} update={update} />;
    return <RunPage state={state} update={update} />;
  }
}
