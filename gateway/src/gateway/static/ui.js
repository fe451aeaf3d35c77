// Everything in one page; the single documents are in the list at the top.
window.ui = SwaggerUIBundle({
  urls: [
    { url: "/v1/openapi.json", name: "Everything" },
    { url: "/v1/trades_api.yaml", name: "Trades" },
    { url: "/v1/reports_api.yaml", name: "Reports" },
    { url: "/v1/users_api.yaml", name: "Users" },
    { url: "/v1/auth_api.yaml", name: "Auth" },
  ],
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
  tryItOutEnabled: true,
  validatorUrl: null,
});
