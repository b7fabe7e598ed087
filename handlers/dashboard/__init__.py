"""The dashboard: a page for each thing an operator looks at, and a page that asks for each deed."""
