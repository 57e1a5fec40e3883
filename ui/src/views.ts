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
}

/**
 * All that there is, in the order of the rail. All but the first are loaded when somebody goes
 * there: `lazy(async () => ({ default: (await import("./views/NAME/NameView")).NameView }))`.
 */
export const VIEWS: readonly View[] = [
  { name: "search", title: (t) => t.search, icon: "search", component: SearchView },
  {
    name: "qa",
    title: (t) => t.qa,
    icon: "qa",
    component: lazy(async () => ({ default: (await import("./views/qa/QaView")).QaView })),
  },
];
