import { type ComponentType, lazy } from "react";
import type { Messages } from "./lib/messages";
import type { IconName } from "./parts/Icon";
import { SearchView } from "./views/search/SearchView";

/** A place of the page: its name in the address, in the rail, and what is shown there. */
export interface View {
  name: string;
  title: (t: Messages) => string;
  icon: IconName;
  component: ComponentType<{ params: URLSearchParams }>;
  /** It is reached by links alone, and stands not in the rail. */
  hidden?: boolean;
}

/**
 * All that there is, in the order of the rail. All but the first are loaded when somebody goes
 * there: `lazy(async () => ({ default: (await import("./views/NAME/NameView")).NameView }))`.
 */
export const VIEWS: readonly View[] = [
  { name: "search", title: (t) => t.search, icon: "search", component: SearchView },
  {
    name: "compare",
    title: (t) => t.compare,
    icon: "compare",
    component: lazy(async () => ({
      default: (await import("./views/compare/CompareView")).CompareView,
    })),
  },
  {
    name: "map",
    title: (t) => t.map,
    icon: "map",
    component: lazy(async () => ({
      default: (await import("./views/map/MapView")).MapView,
    })),
  },
  {
    name: "clusters",
    title: (t) => t.clusters,
    icon: "clusters",
    component: lazy(async () => ({
      default: (await import("./views/clusters/ClustersView")).ClustersView,
    })),
  },
  {
    name: "curate",
    title: (t) => t.curate,
    icon: "curate",
    component: lazy(async () => ({
      default: (await import("./views/curate/CurateView")).CurateView,
    })),
  },
  {
    name: "qa",
    title: (t) => t.qa,
    icon: "qa",
    component: lazy(async () => ({
      default: (await import("./views/qa/QaView")).QaView,
    })),
  },
  {
    name: "library",
    title: (t) => t.library,
    icon: "library",
    component: lazy(async () => ({
      default: (await import("./views/library/LibraryView")).LibraryView,
    })),
  },
  {
    name: "view",
    title: (t) => t.viewer,
    icon: "picture",
    component: lazy(async () => ({
      default: (await import("./views/viewer/ViewerView")).ViewerView,
    })),
    hidden: true,
  },
];

export const IN_RAIL = VIEWS.filter(({ hidden }) => !hidden);
