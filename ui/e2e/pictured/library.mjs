// The parts of the library view that are worth a picture.

/** @param {string} url */
export async function pictured(url) {
  const library = await (await fetch(`${url}/v1/library`)).json();
  const jobs = await (await fetch(`${url}/v1/jobs?state=done&limit=1`)).json();
  const [reason = ""] = Object.keys(library.rejected_by_reason);
  const part = (tab, more = "") => `#/library?tab=${tab}${more}`;
  return {
    "library-overview": "#/library",
    "library-intake": part("ingest"),
    "library-rejected": part("rejected", reason && `&reason=${reason}`),
    "library-spaces": part("spaces"),
    "library-jobs": part("jobs", jobs.rows.length ? `&job=${jobs.rows[0].id}` : ""),
    "library-keys": part("keys"),
    "library-key": part("keys", "&new=yes"),
    "library-audit": part("audit"),
  };
}
