/**
 * typedoc writes navigation links into every page as they are; pages in folders need them to begin
 * one level up.
 */
import { PageEvent } from 'typedoc';

/** @param {import('typedoc').Application} app */
export function load(app) {
  app.renderer.on(PageEvent.END, (page) => {
    const up = '../'.repeat(page.url.split('/').length - 1);
    page.contents = page.contents?.replaceAll(/href="(explorer|live-demo)\//g, `href="${up}$1/`);
  });
}
